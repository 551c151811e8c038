"""Texts that get a vector each: alone, or in pairs with how alike the two are.

Legend: N rows, F sentences (2 N in pairs, else N).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill.data.bad_rows import BadRows
from distill.data.batches import BucketSampler
from distill.data.sources.table import Table
from distill.data.split import Split
from distill.data.texts import ADVICE, text_faults
from distill.data.tokenized import TokenizedDataset, tokenize
from distill.errors import DataError
from distill.recipe.schema import Columns

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
    """

    @property
    def paired(self) -> bool:
        """Never: a model reads one text at a time."""
        return False

    @property
    def scored(self) -> bool:
        """Whether rows are pairs with a similarity."""
        return self.pairs is not None and len(self.labels) == len(self.texts)

    def take(self, rows: Sequence[int]) -> VectorSplit:
        """The rows with these numbers, in the order given."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            labels=[self.labels[row] for row in rows] if self.labels else [],
            pairs=None if self.pairs is None else [self.pairs[row] for row in rows],
        )

    def sentences(self) -> Split:
        """Every text as a row of its own: the first and the second of each pair in turn."""
        similarity = self.labels or [math.nan] * len(self)
        if self.pairs is None:
            return Split(self.name, self.texts, similarity)
        both = zip(self.texts, self.pairs, strict=True)
        texts = [text for pair in both for text in pair]
        return Split(self.name, texts, [one for one in similarity for _ in range(2)])


class SentenceRows(TokenizedDataset):
    """The sentences of a :class:`VectorSplit` as token ids; batches of a training keep pairs.

    Args:
        folder: see :class:`TokenizedDataset`, as for the others.
        labels: the similarity of the pair that each sentence belongs to, (F,); NaN where none is
            known.
        digest: SHA-256 (hex) of what the rows are.
        pad_id: the padding token's id.
        in_pairs: whether sentences 2k and 2k + 1 are a pair.
    """

    def __init__(
        self,
        folder: Path,
        labels: npt.NDArray[Any],
        *,
        digest: str,
        pad_id: int,
        in_pairs: bool,
    ) -> None:
        super().__init__(folder, labels, digest=digest, pad_id=pad_id)
        self.in_pairs = in_pairs

    def sampler(
        self, batch_size: int, *, seed: int, shuffle: bool = True, rank: int = 0, world: int = 1
    ) -> BucketSampler:
        """The order of a training's batches; see :class:`PairSampler`."""
        options: dict[str, Any] = {"seed": seed, "shuffle": shuffle, "rank": rank, "world": world}
        if not self.in_pairs:
            return BucketSampler(self.lengths, batch_size, **options)
        return PairSampler(self.lengths, batch_size, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.folder, self.labels, self.digest, self.pad_id, self.in_pairs)


def _reopen(
    folder: Path, labels: npt.NDArray[Any], digest: str, pad_id: int, in_pairs: bool
) -> SentenceRows:
    return SentenceRows(folder, labels, digest=digest, pad_id=pad_id, in_pairs=in_pairs)


class PairSampler(BucketSampler):
    """Batches of sentences in which each is followed by the other one of its pair.

    Otherwise as :class:`BucketSampler`, by the longer sentence of each pair.

    Args:
        lengths: tokens of each sentence, (2 N,).
        batch_size: most sentences of a batch on one rank; half as many pairs, at least one.
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


def encode_sentences(
    split: VectorSplit, tokenizer: PreTrainedTokenizerFast, *, max_length: int
) -> SentenceRows:
    """The sentences of a split as token ids, each a row of its own; see :func:`tokenize`."""
    rows = tokenize(split.sentences(), tokenizer, max_length=max_length)
    return SentenceRows(
        rows.folder,
        rows.labels.astype(np.float32),
        digest=rows.digest,
        pad_id=rows.pad_id,
        in_pairs=split.pairs is not None,
    )


def read_vectors(
    tables: Mapping[str, Table], columns: Columns, bad: BadRows
) -> dict[str, VectorSplit]:
    """The rows of every split; training rows may be single texts, or pairs without a score.

    Args:
        tables: by role; ``train`` is there.
        columns: which of their columns hold what.
        bad: what to do with rows whose text or similarity cannot be used.

    Raises:
        DataError: a column is missing, or rows cannot be used.
    """
    found = {}
    for role, table in tables.items():
        second, learned = columns.text_pair, role == "train"
        paired = second is not None and not (learned and second not in table.columns)
        scored = paired and not (learned and columns.label not in table.columns)
        faults = text_faults(table, columns.text, "data.columns.text")
        if paired:
            faults = text_faults(table, str(second), "data.columns.text_pair") | faults
        table = bad.sift(table, faults, advice=ADVICE)
        if scored:
            table = bad.sift(table, _score_faults(table, columns.label))
        found[role] = VectorSplit(
            role,
            table.columns[columns.text],
            [float(one) for one in table.columns[columns.label]] if scored else [],
            table.columns[str(second)] if paired else None,
        )
    bad.check({tables[role].place: len(split) for role, split in found.items()})
    return found


def check_scored(split: VectorSplit) -> None:
    """Refuse rows to score vectors on that say nothing of how alike texts are.

    Raises:
        DataError: they are no pairs with similarities, or all are equally alike.
    """
    if not split.scored:
        raise DataError(
            f"data.{split.name}: vectors are scored on pairs of texts with a similarity; name a "
            "file with them, and its columns in data.columns.text_pair and data.columns.label"
        )
    if len(set(split.labels)) < 2:
        raise DataError(f"data.{split.name}: all {len(split):,} pairs are equally alike")


def _score_faults(table: Table, column: str) -> dict[int, str]:
    """Rows whose similarity is no finite number."""
    found = {}
    for row, value in enumerate(table.column(column, "data.columns.label")):
        try:
            number = math.nan if value is None or isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            found[row] = (
                f"column '{column}' holds {value!r}; how alike two texts are is a finite number"
            )
    return found
