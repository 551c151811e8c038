"""Texts that get a vector each: alone, or in pairs with how alike the two are.

Legend: N rows, F sentences (2 N in pairs, else N).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pyarrow as pa

from distill.data.batches import BucketSampler, GroupSampler, Order
from distill.data.reader import Examples, Reader, Tables, as_number
from distill.data.sources.columns import stored
from distill.data.sources.table import ADVICE, Table, text_issues
from distill.data.split import Group, Split
from distill.data.tokenized import TokenizedDataset, tokenize
from distill.recipe.schema import Columns
from distill.system.errors import DataError
from distill.tasks.measures import Ids, numbered
from distill.tasks.vectors.config import Prompts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class VectorSplit(Split):
    """Rows of one split: texts, or pairs of texts that are read one by one.

    The labels say how alike each row's two texts are, and are empty where that is not known.
    """

    prompts: tuple[str, str] = ("", "")  # what is put before a text, and before a second one
    retrieves: bool = False  # whether the first texts are queries and the second passages

    @property
    def paired(self) -> bool:
        return False  # a model reads one text at a time

    @property
    def groups(self) -> Sequence[Group] | None:
        return super().groups if self.labels else [()] * len(self)

    @property
    def scored(self) -> bool:
        """Whether rows are pairs with a similarity."""
        return self.pairs is not None and len(self.labels) == len(self.texts)

    def encode(self, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> SentenceExamples:
        sentences = self.sentences()
        return SentenceExamples(
            tokenize(sentences, tokenizer, max_length=max_length),
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
        rows: their labels are the similarity of the pair that each sentence belongs to, (F,); NaN
            where none is known.
        in_pairs: whether sentences 2k and 2k + 1 are a pair.
        texts: of queries and passages a number for each, the same for equal texts, (F,).
    """

    def __init__(self, rows: TokenizedDataset, *, in_pairs: bool, texts: Ids | None) -> None:
        labels = rows.labels.astype(np.float32)
        super().__init__(rows.store, labels, digest=rows.digest, pad_id=rows.pad_id)
        self.in_pairs, self.texts = in_pairs, texts

    def labels_of(self, index: int, tokens: slice) -> dict[str, Any]:
        found = super().labels_of(index, tokens)
        return found if self.texts is None else {**found, "text": self.texts[index]}

    def sampler(self, batch_size: int, **order: Unpack[Order]) -> BucketSampler:
        """Batches of a training: of pairs, at most half as many as there may be sentences."""
        if not self.in_pairs:
            return BucketSampler(self.lengths, batch_size, **order)
        return GroupSampler(self.lengths, np.arange(0, len(self), 2), batch_size // 2, **order)


class SimilarityReader(Reader):
    """Reads pairs of texts with a similarity; for training also pairs without, or single texts."""

    def read(self, tables: Tables) -> Examples:
        splits = {role: self._pairs(role, table) for role, table in tables.items()}
        self.bad.check({tables[role].place: len(split) for role, split in splits.items()})
        return splits, ()

    def _pairs(self, role: str, table: Table) -> VectorSplit:
        columns, bad, learned = self.columns, self.bad, role == "train"
        second = columns.text_pair
        paired = second is not None and not (learned and second not in table.columns)
        labelled = columns.label in table.columns
        # Searches may do without labels, but not without a column that the recipe names.
        free = learned or (self.task.retrieves and columns.label == Columns().label)
        scored = paired and (labelled or not free)
        if paired and self.task.retrieves:
            table = bad.sift(*_listed(table, str(second), columns.label if scored else None))
        issues = text_issues(table, columns.text, "data.columns.text")
        if paired:
            issues = text_issues(table, str(second), "data.columns.text_pair") | issues
        table = bad.sift(table, issues, advice=ADVICE)
        if scored:
            table = bad.sift(table, _score_issues(table, columns.label, self.task.retrieves))
        given: Iterable[Any] = table.columns[columns.label] if scored else []
        if paired and not learned and not scored:
            given = [1.0] * len(table)
            self.notes.append(
                f"{table.place}: no column '{columns.label}'; every passage belongs to its query"
            )
        prompts = self.task.prompts or Prompts()
        return VectorSplit(
            role,
            table.columns[columns.text],
            stored(map(float, given), pa.float64()),
            table.columns[str(second)] if paired else None,
            prompts=(prompts.query, prompts.passage),
            retrieves=self.task.retrieves,
            numbers=table.numbers,
        )

    def check(self, splits: Mapping[str, Split], labels: Sequence[str], *, place: str) -> list[str]:
        for role, split in splits.items():
            if role == "train":
                continue
            if not split.labels:
                raise DataError(
                    f"data.{split.name}: vectors are scored on pairs of texts with a similarity; "
                    "name a file with them, and its columns in data.columns.text_pair and "
                    "data.columns.label"
                )
            if self.task.retrieves and not any(one > 0 for one in split.labels):
                raise DataError(
                    f"data.{split.name}: no passage belongs to its query: all labels are 0"
                )
            if not self.task.retrieves and len(set(split.labels)) < 2:
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
