"""A bundle as a function of batches, for engines that pickle it, fork and call it in processes.

Ray Data, ``datasets.map`` and whatever hands over columns call a :class:`BatchPredictor`; Spark's
``predict_batch_udf`` takes its :meth:`~BatchPredictor.for_spark`. None of them is imported here.

Legend: N rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from distill.runtime.job import bundle_digest
from distill.runtime.manifest import read_manifest
from distill.runtime.model import BundleModel
from distill.runtime.results import as_cell, fields, flattened
from distill.runtime.rows import Row, Wanted, candidates_issue, candidates_of, text_issue
from distill.system.errors import DataError, ModelError, listed, nearest

#: Sessions that were made before a fork. Their threads are not in this process, and ending such a
#: session would wait for them for ever.
_orphans: list[BundleModel] = []


@dataclass
class BatchPredictor:
    """Predicts for batches of columns; can be pickled, and works on after a fork.

    It holds the bundle's path and settings. Each process loads the bundle when it is first called
    there, and refuses another one than where this object was made. A row has the same predictions
    as by ``distill predict``.

    A mapping of numbers (``probabilities``) stays one and a vector is a float32 array; what else is
    nested (entities, labels) is JSON, so that a column has the same type in every batch.

    Raises:
        ModelError: there is no bundle, it is not whole, or it has no such format.
        DataError: a pair column is missing, or given for a model of single texts.

    Example:
        >>> predict = BatchPredictor("runs/sst2")  # doctest: +SKIP
        >>> dataset.map(predict, batched=True, num_proc=4)  # doctest: +SKIP
    """

    # a bundle, or the folder of a finished run; each machine must see it at this path
    folder: str | Path
    column: str | None = None  # the column with the text; left out, ``text`` or ``sentence``
    # the column with the second text, for models of pairs; of a ranking with the candidates of
    # each query
    pair_column: str | None = None
    # the format to run; ``None`` takes the bundle's default, on every machine
    format: str | None = None
    threads: int | None = 1  # threads of one call; engines have a process for each core
    batch_size: int | None = None  # rows computed at once; ``None`` takes 32
    # columns that the answer to a batch carries along; ``None`` for all
    keep: Sequence[str] | None = None
    # give rows without a text (a null) predictions of ``None``, instead of an error
    skip_bad: bool = False
    bundle: str = field(init=False)

    def __post_init__(self) -> None:
        # Other processes may work in another folder.
        self.folder = Path(self.folder).resolve()
        manifest = read_manifest(self.folder)
        if manifest.pair and self.pair_column is None:
            raise DataError("this model compares two texts; name the second's pair_column")
        if self.pair_column is not None and not manifest.pair:
            raise DataError("this model takes single texts; leave pair_column out")
        self.format = self.format or manifest.default
        manifest.file(self.format)
        # What an engine caches results by holds it too.
        self.bundle = bundle_digest(manifest, self.format)
        self._loaded: tuple[int, BundleModel] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in dataclass_fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _loaded=None)

    @property
    def model(self) -> BundleModel:
        """The bundle, loaded once in each process.

        Raises:
            ModelError: it is not there, or another one than where this object was made.
            UserError: the engine of its format is not installed.
        """
        process = os.getpid()
        if self._loaded is not None and self._loaded[0] != process:
            _orphans.append(self._loaded[1])
            self._loaded = None
        if self._loaded is None:
            manifest = read_manifest(Path(self.folder))
            if bundle_digest(manifest, str(self.format)) != self.bundle:
                raise ModelError(f"{self.folder}: changed since this predictor was made; make anew")
            if self.threads == 1:
                # The tokenizer has threads of its own, for each core one, and warns of forks.
                os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            model = BundleModel(manifest, format=self.format, threads=self.threads)
            self._loaded = process, model
        return self._loaded[1]

    def predict(self, texts: Any, pairs: Any = None) -> list[dict[str, Any]]:
        """The predictions of N rows, as ``distill predict`` has them.

        Args:
            texts: N texts: a list, an array, or a column that has ``to_pylist``.
            pairs: the N second texts, where the model takes pairs.

        Raises:
            DataError: a row has no text, unless they are skipped.
        """
        columns = {"texts": _listed(texts)}
        if pairs is not None:
            columns["pairs"] = _listed(pairs)
            if self.model.decoder.takes_candidates:
                columns["pairs"] = [candidates_of(one) for one in columns["pairs"]]
        if len({len(values) for values in columns.values()}) > 1:
            raise DataError(f"{len(columns['texts'])} texts but {len(columns['pairs'])} pairs")
        bad = self._bad_rows(columns)
        good = [[v for n, v in enumerate(one) if n not in bad] for one in columns.values()]
        found = iter(self.model.predict(*good, batch_size=self.batch_size))
        if not bad:
            return list(found)
        none: dict[str, Any] = dict.fromkeys(self._blank)
        return [none if n in bad else next(found) for n in range(len(columns["texts"]))]

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """A batch, columns of N values each, with the columns of its predictions.

        A kept column with the name of a predicted one, such as ``label``, becomes ``input.label``,
        as in files.

        Raises:
            DataError: there is no such column, or a row has no text.
        """
        wanted = Wanted(self.column, self.pair_column, self.keep or ())
        text = wanted.text_column(batch)
        for name in (text, *wanted.named):
            if name not in batch:
                raise DataError(
                    f"no column '{name}'; the batch has {listed(batch)}{nearest(name, batch)}"
                )
        pairs = None if self.pair_column is None else batch[self.pair_column]
        found = self.predict(batch[text], pairs)
        kept = {name: batch[name] for name in (batch if self.keep is None else self.keep)}
        predicted = {name: [as_cell(row[name]) for row in found] for name in self._blank}
        return fields(Row("", kept=kept), predicted, texts=False, as_json=False)

    @property
    def spark_type(self) -> str:
        """What Spark's ``predict_batch_udf`` returns, for ``StructType.fromDDL``; as in a CSV."""
        types = {str: "string", bool: "boolean", int: "bigint", float: "double"}
        return ", ".join(
            f"`{name.replace('`', '``')}` {types.get(type(value), 'array<float>')}"
            for name, value in _flat(self._blank).items()
        )

    def for_spark(self) -> Callable[..., dict[str, Any]]:
        """The function that Spark's ``predict_batch_udf`` calls in each of its processes.

        Example:
            >>> predict_batch_udf(  # doctest: +SKIP
            ...     predict.for_spark,
            ...     return_type=StructType.fromDDL(predict.spark_type),
            ...     batch_size=1024,
            ... )
        """
        # Spark counts the arguments.
        if self.pair_column is None:
            return lambda texts: self._columns(texts, None)
        return lambda texts, pairs: self._columns(texts, pairs)

    def _columns(self, texts: Any, pairs: Any) -> dict[str, Any]:
        rows = [_flat(row) for row in self.predict(texts, pairs)]
        return {
            name: _array([row.get(name) for row in rows], some)
            for name, some in _flat(self._blank).items()
        }

    @cached_property
    def _blank(self) -> dict[str, Any]:
        """The prediction for some text: what it holds, and of which types."""
        pair: Any = ["a"] if self.model.decoder.takes_candidates else "a"
        return self.model.predict(["a"], None if self.pair_column is None else [pair])[0]

    def _bad_rows(self, columns: Mapping[str, Sequence[Any]]) -> set[int]:
        bad = set()
        lists = self.model.decoder.takes_candidates
        for name, values in columns.items():
            issue_of = candidates_issue if lists and name == "pairs" else text_issue
            for number, value in enumerate(values):
                issue = issue_of(value)
                if issue and not self.skip_bad:
                    raise DataError(
                        f"{name}[{number}] {issue}; with skip_bad=True its predictions are None"
                    )
                if issue:
                    bad.add(number)
        return bad


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A prediction without mappings, as in a table; a vector stays one."""
    found: dict[str, Any] = {}
    for name, value in ((name, as_cell(value)) for name, value in row.items()):
        found |= {name: value} if isinstance(value, np.ndarray) else flattened({name: value})
    return found


def _array(values: Sequence[Any], some: Any) -> Any:
    """A column as Spark takes it: (N,) or, of vectors as ``some``, (N, K); those of no row: NaN."""
    if isinstance(some, np.ndarray):
        none = np.full_like(some, np.nan)
        vectors = [none if value is None else value for value in values]
        return np.stack(vectors) if vectors else np.zeros((0, len(some)), dtype=some.dtype)
    plain = not isinstance(some, str) and None not in values
    return np.array(values, dtype=type(some) if plain else object)


def _listed(values: Any) -> list[Any]:
    for name in ("to_pylist", "tolist"):
        if hasattr(values, name):
            found = getattr(values, name)()
            return list(found)
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise DataError(f"a column is a list or an array of texts, not a {type(values).__name__}")
    return list(values)
