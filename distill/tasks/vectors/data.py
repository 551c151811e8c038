"""Texts that get a vector each: alone, or in pairs with how alike the two are.

Legend: N rows, F sentences (2 N in pairs, else N).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distill.data.array_store import ArrayStore
from distill.data.bad_rows import BadRows
from distill.data.batches import BucketSampler
from distill.data.reader import Reader, Tables, as_number
from distill.data.sources.columns import stored
from distill.data.sources.table import ADVICE, Table, text_issues
from distill.data.split import Group, Split
from distill.data.tokenized import TokenizedDataset, tokenize
from distill.recipe.schema import Columns
from distill.system.errors import DataError
from distill.tasks.vectors.config import VectorsTask
from distill.tasks.vectors.retrieval import Ids, numbered

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class VectorSplit(Split):
    """Rows of one split: texts, or pairs of texts that are read one by one.

    Args:
        name: see :class:`Split`, as for the others.
        texts: the text of each row, or the first one of a pair.
        labels: how alike each row's two texts are; empty where that is not known.
        pairs: the second texts.
        prompts: what is put before a text, and before a second one.
        retrieves: whether the first texts are queries and the second passages.
    """

    prompts: tuple[str, str] = ("", "")
    retrieves: bool = False

    @property
    def paired(self) -> bool:
        """Never: a model reads one text at a time."""
        return False

    @property
    def groups(self) -> Sequence[Group] | None:
        """None, unless nothing is known of the similarities."""
        return super().groups if self.labels else [()] * len(self)

    @property
    def scored(self) -> bool:
        """Whether rows are pairs with a similarity."""
        return self.pairs is not None and len(self.labels) == len(self.texts)

    def encode(self, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> SentenceExamples:
        """Every text as an example of its own; see :func:`tokenize`."""
        sentences = self.sentences()
        rows = tokenize(sentences, tokenizer, max_length=max_length)
        return SentenceExamples(
            rows.store,
            rows.labels.astype(np.float32),
            digest=rows.digest,
            pad_id=rows.pad_id,
            in_pairs=self.pairs is not None,
            texts=numbered(sentences.texts) if self.retrieves and self.scored else None,
        )

    def sentences(self) -> Split:
        """Every text as a row of its own: the first and the second of each pair in turn."""
        similarity = self.labels or [math.nan] * len(self)
        first, second = self.prompts
        texts = (first + text for text in self.texts)
        if self.pairs is None:
            return Split(self.name, stored(texts, pa.string()) if first else self.texts, similarity)
        pairs = zip(texts, (second + text for text in self.pairs), strict=True)
        both = stored(chain.from_iterable(pairs), pa.string())
        twice = stored((one for one in similarity for _ in range(2)), pa.float64())
        return Split(self.name, both, twice)


class SentenceExamples(TokenizedDataset):
    """The sentences of a :class:`VectorSplit` as token ids; batches of a training keep pairs.

    Args:
        store: see :class:`TokenizedDataset`, as for the others.
        labels: the similarity of the pair that each sentence belongs to, (F,); NaN where none is
            known.
        digest: SHA-256 (hex) of what the rows are.
        pad_id: the padding token's id.
        in_pairs: whether sentences 2k and 2k + 1 are a pair.
        texts: of queries and passages a number for each, the same for equal texts, (F,).
    """

    def __init__(
        self,
        store: ArrayStore,
        labels: npt.NDArray[Any],
        *,
        digest: str,
        pad_id: int,
        in_pairs: bool,
        texts: Ids | None = None,
    ) -> None:
        super().__init__(store, labels, digest=digest, pad_id=pad_id)
        self.in_pairs, self.texts = in_pairs, texts

    def labels_of(self, index: int, tokens: slice) -> dict[str, Any]:
        """See :meth:`StoredExamples.labels_of`: with the number of the text, where there is one."""
        found = super().labels_of(index, tokens)
        return found if self.texts is None else {**found, "text": self.texts[index]}

    def sampler(
        self, batch_size: int, *, seed: int, shuffle: bool = True, rank: int = 0, world: int = 1
    ) -> BucketSampler:
        """The order of a training's batches; see :class:`PairSampler`."""
        options: dict[str, Any] = {"seed": seed, "shuffle": shuffle, "rank": rank, "world": world}
        if not self.in_pairs:
            return BucketSampler(self.lengths, batch_size, **options)
        return PairSampler(self.lengths, batch_size, **options)


class PairSampler(BucketSampler):
    """Batches of sentences in which each is followed by the other one of its pair.

    Otherwise as :class:`BucketSampler`, by the longer sentence of each pair.

    Args:
        lengths: tokens of each sentence, (2 N,).
        batch_size: most sentences of a batch of all ranks; half as many pairs, at least one.
        **options: those of :class:`BucketSampler`.
    """

    def __init__(
        self, lengths: npt.NDArray[np.integer[Any]], batch_size: int, **options: Any
    ) -> None:
        longer = np.asarray(lengths).reshape(-1, 2).max(axis=1)  # (N,)
        super().__init__(longer, max(1, batch_size // 2), **options)

    def __iter__(self) -> Iterator[list[int]]:
        for pairs in super().__iter__():
            yield [sentence for pair in pairs for sentence in (2 * pair, 2 * pair + 1)]


class SimilarityReader(Reader):
    """Reads pairs of texts with a similarity; for training also pairs without, or single texts.

    Args:
        columns: which columns hold what.
        task: what is put before texts.
    """

    def __init__(self, columns: Columns, task: VectorsTask) -> None:
        super().__init__(columns, task)
        said = task.prompts
        self.prompts = ("", "") if said is None else (said.query, said.passage)
        self.retrieves = task.retrieves

    def read(
        self, tables: Tables, notes: list[str], bad: BadRows
    ) -> tuple[Mapping[str, Split], tuple[str, ...]]:
        splits = {role: self._pairs(role, table, notes, bad) for role, table in tables.items()}
        bad.check({tables[role].place: len(split) for role, split in splits.items()})
        return splits, ()

    def _pairs(self, role: str, table: Table, notes: list[str], bad: BadRows) -> VectorSplit:
        columns, second, learned = self.columns, self.columns.text_pair, role == "train"
        paired = second is not None and not (learned and second not in table.columns)
        labelled = columns.label in table.columns
        # Searches may do without labels, but not without a column that the recipe names.
        free = learned or (self.retrieves and columns.label == Columns().label)
        scored = paired and (labelled or not free)
        if paired and self.retrieves:
            table = bad.sift(*_listed(table, str(second), columns.label if scored else None))
        issues = text_issues(table, columns.text, "data.columns.text")
        if paired:
            issues = text_issues(table, str(second), "data.columns.text_pair") | issues
        table = bad.sift(table, issues, advice=ADVICE)
        if scored:
            table = bad.sift(table, _score_issues(table, columns.label, self.retrieves))
        given: Iterable[Any] = table.columns[columns.label] if scored else []
        if paired and not learned and not scored:
            given = [1.0] * len(table)
            notes.append(
                f"{table.place}: no column '{columns.label}'; every passage belongs to its query"
            )
        return VectorSplit(
            role,
            table.columns[columns.text],
            stored(map(float, given), pa.float64()),
            table.columns[str(second)] if paired else None,
            prompts=self.prompts,
            retrieves=self.retrieves,
            numbers=table.numbers,
        )

    def check(self, splits: Mapping[str, Split], labels: Sequence[str], *, place: str) -> list[str]:
        """See :meth:`Reader.check`: pairs to score on must differ in how alike they are."""
        for role, split in splits.items():
            if role == "train":
                continue
            if not split.labels:
                raise DataError(
                    f"data.{split.name}: vectors are scored on pairs of texts with a similarity; "
                    "name a file with them, and its columns in data.columns.text_pair and "
                    "data.columns.label"
                )
            if self.retrieves and not any(one > 0 for one in split.labels):
                raise DataError(
                    f"data.{split.name}: no passage belongs to its query: all labels are 0"
                )
            if not self.retrieves and len(set(split.labels)) < 2:
                raise DataError(f"data.{split.name}: all {len(split):,} pairs are equally alike")
        return super().check(splits, labels, place=place)


def _score_issues(table: Table, column: str, retrieves: bool) -> dict[int, str]:
    """Rows whose similarity is no finite number, or whose relevance is none or below 0."""
    values = table.column(column, "data.columns.label")
    wanted = "how alike two texts are is a finite number"
    if retrieves:
        wanted = "the relevance of a passage is a number, 0 or more"
    return {
        row: f"column '{column}' holds {value!r}; {wanted}"
        for row, value in enumerate(values)
        if not math.isfinite(number := as_number(value)) or (retrieves and number < 0)
    }


def _listed(table: Table, passages: str, labels: str | None) -> tuple[Table, dict[int, str]]:
    """A query's list of passages as a row for each, and rows whose labels are not as many."""
    cells = table.columns[passages]
    if not any(isinstance(cell, list) for cell in cells):
        return table, {}
    given = table.columns[labels] if labels else [None] * len(cells)
    rows: list[int] = []
    texts: list[Any] = []
    numbers: list[Any] = []
    issues = {}
    for row, (cell, value) in enumerate(zip(cells, given, strict=True)):
        own = cell if isinstance(cell, list) else [cell]
        values = value if isinstance(value, list) else [value] * (1 if labels else len(own))
        if len(own) != len(values) or not own:
            issues[len(rows)] = (
                f"{len(own)} passages in column '{passages}', but {len(values)} numbers in "
                f"column '{labels}'"
                if own
                else f"column '{passages}' is an empty list"
            )
            own, values = [None], [None]
        rows += [row] * len(own)
        texts += own
        numbers += values
    found = table.take(rows)
    more = {passages: texts} | ({labels: numbers} if labels else {})
    return replace(found, columns={**found.columns, **more}), issues
