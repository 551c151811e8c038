"""Queries with their candidates, and how relevant each of these is.

Legend: N queries, F candidates of all queries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distill.data.batches import GroupSampler, Order
from distill.data.reader import Examples, Reader, Tables, as_number, keep_more
from distill.data.sources.columns import Column, stored, take
from distill.data.sources.table import ADVICE, Table, cell_list, text_issue, text_issues
from distill.data.split import Group, Split
from distill.data.tokenized import Texts, TokenizedDataset, tokenize
from distill.recipe.schema import Columns
from distill.system import digest
from distill.system.errors import DataError
from distill.tasks.measures import numbered

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_TEXTS, _NUMBERS = pa.list_(pa.string()), pa.list_(pa.float64())
#: How the candidates of a row are stored.
_STORED = pa.list_(pa.struct([("text", pa.string()), ("relevance", pa.float64())]))


@dataclass(frozen=True)
class RankingSplit(Split):
    """Queries of one split in the order in which they first occur.

    The queries are the texts, the relevances of their candidates the labels, a tuple for each.
    """

    candidates: Sequence[tuple[str, ...]] = ()

    per_example: ClassVar[tuple[str, ...]] = ("texts", "labels", "candidates")

    @property
    def paired(self) -> bool:
        return True  # a query and a candidate are read together

    @property
    def groups(self) -> Sequence[Group]:
        return [()] * len(self)  # one query is like another

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many candidates each query has, (N,)."""
        return np.fromiter(map(len, self.labels), dtype=np.int64, count=len(self))

    @cached_property
    def relevance(self) -> npt.NDArray[np.float64]:
        """The relevance of every candidate, query by query, (F,)."""
        return np.fromiter(chain.from_iterable(self.labels), np.float64, int(self.sizes.sum()))

    @cached_property
    def text_digest(self) -> str:
        parts = (json.dumps(own) for own in self.candidates)
        return digest.of_json([digest.of_texts(self.texts), digest.of_texts(parts)])

    def chunks(self, size: int) -> Iterator[Texts]:
        for start in range(0, len(self), size):
            own = self.candidates[start : start + size]
            queries = zip(self.texts[start : start + size], own, strict=True)
            yield [query for query, texts in queries for _ in texts], [*chain.from_iterable(own)]

    def in_pairs(self) -> Split:
        """Every candidate with its query as a row of its own, F in all."""
        each = zip(self.texts, self.candidates, strict=True)
        return Split(
            self.name,
            stored((query for query, own in each for _ in own), pa.string()),
            stored(chain.from_iterable(self.labels), pa.float64()),
            stored(chain.from_iterable(self.candidates), pa.string()),
        )

    def encode(self, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> CandidateExamples:
        rows = tokenize(self.in_pairs(), tokenizer, max_length=max_length)
        numbers = np.repeat(np.arange(len(self)), self.sizes)
        return CandidateExamples(
            rows.store,
            np.stack([self.relevance, numbers], axis=1),
            digest=digest.of_json([rows.digest, self.sizes.tolist()]),
            pad_id=rows.pad_id,
        )


class CandidateExamples(TokenizedDataset):
    """Queries with one candidate each as token ids; the batches of a training keep lists whole.

    ``labels`` of an item are the candidate's relevance and its query's number, (2,).
    """

    def sampler(self, batch_size: int, **order: Unpack[Order]) -> GroupSampler:
        """Batches of whole lists, of ``batch_size`` candidates in the mean."""
        starts = np.flatnonzero(np.diff(self.labels[:, 1], prepend=-1.0))
        lists = round(batch_size * len(starts) / len(self))
        return GroupSampler(self.lengths, starts, lists, **order)


class RankingReader(Reader):
    """Reads rows of a query with a candidate or several, which make the queries' lists.

    Rows with one id, or where there are none one text, are one query. A candidate that a query has
    twice counts once.
    """

    @property
    def label_column(self) -> str:
        return self.columns.relevant or self.columns.label

    def read(self, tables: Tables) -> Examples:
        splits = {role: self._queries(role, table) for role, table in tables.items()}
        most = self.task.train_candidates
        longer = int((splits["train"].sizes > most).sum())
        if longer:
            splits["train"] = _shortened(splits["train"], most)
            self.notes.append(
                f"train: {longer:,} of {len(splits['train']):,} queries have more than "
                f"task.train_candidates, {most}; the most relevant and the first others are kept"
            )
        return splits, ()

    def _queries(self, role: str, table: Table) -> RankingSplit:
        columns, bad = self.columns, self.bad
        issues = text_issues(table, columns.query, "data.columns.query")
        table = bad.sift(table, issues, advice=ADVICE)
        if columns.query_id is not None:
            table = bad.sift(table, _id_issues(table, columns))
        table, rows = bad.read(table, self._rows(table), _STORED)
        key = columns.query_id or columns.query
        numbers = numbered(table.columns[key])
        if issues := _contradictions(rows, numbers):
            table = bad.sift(table, issues)
            rows = rows.take(np.delete(np.arange(len(rows)), sorted(issues)))
            numbers = numbered(table.columns[key])
        firsts = np.unique(numbers, return_index=True)[1]
        return RankingSplit(
            role,
            take(table.columns[columns.query], firsts),
            stored((list(own.values()) for own in _lists(rows, numbers)), _NUMBERS, tuple),
            candidates=stored((list(own) for own in _lists(rows, numbers)), _TEXTS, tuple),
        )

    def _rows(self, table: Table) -> Iterator[list[dict[str, Any]] | str]:
        """Of each row its candidates with their relevances, or what is wrong with them."""
        columns = self.columns
        candidates = table.column(columns.candidates, "data.columns.candidates")
        if columns.relevant is None:
            key, wanted = "label", _of_scores
        else:
            key, wanted = "relevant", _of_indices
        values = table.column(self.label_column, f"data.columns.{key}")
        for cell, value in zip(candidates, values, strict=True):
            texts = _texts(cell, columns.candidates)
            found = texts if isinstance(texts, str) else wanted(texts, value, self.label_column)
            yield (
                found
                if isinstance(found, str)
                else [
                    {"text": text, "relevance": number}
                    for text, number in zip(texts, found, strict=True)
                ]
            )

    def check(self, splits: Mapping[str, Split], labels: Sequence[str], *, place: str) -> list[str]:
        notes = []
        for role, split in splits.items():
            where = place if role == "train" else f"data.{split.name}"
            told = [len(set(own)) > 1 for own in split.labels]
            if not any(told):
                raise DataError(
                    f"{where}: no query has candidates of unlike relevance, so there is no order "
                    f"to learn or to score{keep_more(where)}"
                )
            none = sum(not any(own) for own in split.labels)
            alike = len(told) - sum(told) - none
            if none:
                score = (
                    "nothing is learned from their labels" if role == "train" else "they score 0"
                )
                notes.append(f"{split.name}: {none:,} queries have no relevant candidate; {score}")
            if alike and role != "train":
                notes.append(
                    f"{split.name}: all candidates of {alike:,} queries are equally relevant; "
                    "they score 1 in any order"
                )
        return notes


def _texts(cell: Any, column: str) -> list[str] | str:
    """The candidates in a cell, one or a list, or what is wrong with them."""
    texts = cell_list(cell)
    if texts is None:
        issue = text_issue(cell)
        return f"column '{column}' {issue}" if issue else [cell]
    for number, text in enumerate(texts):
        if issue := text_issue(text):
            return f"candidate {number} in column '{column}' {issue}"
    return texts or f"column '{column}' is an empty list; a query needs candidates"


def _of_scores(texts: list[str], value: Any, column: str) -> list[float] | str:
    """The relevance of each candidate: a number, or a list of as many."""
    values = cell_list(value)
    values = [value] if values is None else values
    if len(values) != len(texts):
        return f"{len(texts)} candidates, but {len(values)} numbers in column '{column}'"
    for one in values:
        number = float(one) if isinstance(one, bool) else as_number(one)
        if not (math.isfinite(number) and number >= 0):
            return f"column '{column}' holds {one!r}; a relevance is a number, 0 or more"
    return [float(one) for one in values]


def _of_indices(texts: list[str], value: Any, column: str) -> list[float] | str:
    """1 for the candidates whose places from 0 a row names, 0 for the others."""
    found, places = [0.0] * len(texts), cell_list(value)
    for one in [value] if places is None else places:
        number = math.nan if isinstance(one, bool) else as_number(one)
        if not (number.is_integer() and 0 <= number < len(texts)):
            return (
                f"column '{column}' holds {one!r}; the relevant candidates are named by their "
                f"places, 0 to {len(texts) - 1}"
            )
        found[int(number)] = 1.0
    return found


def _id_issues(table: Table, columns: Columns) -> dict[int, str]:
    """Rows without a query's id, or with that of another query."""
    ids = table.column(str(columns.query_id), "data.columns.query_id")
    first: dict[Any, str] = {}
    found = {}
    for row, (key, text) in enumerate(zip(ids, table.columns[columns.query], strict=True)):
        if key is None or key == "" or key != key or not isinstance(key, str | int | float):
            found[row] = f"the query's id is missing in column '{columns.query_id}'"
        elif (other := first.setdefault(key, text)) != text:
            found[row] = f"the query id {key!r} is that of another query too: {other[:60]!r}"
    return found


def _by_query(
    rows: Column, numbers: npt.NDArray[np.int64]
) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Of each query its candidates with the numbers of their rows."""
    order = np.argsort(numbers, kind="stable")
    left = zip(order.tolist(), rows.take(order), strict=True)
    for size in np.bincount(numbers).tolist():
        yield [(row, one) for row, own in islice(left, size) for one in own]


def _contradictions(rows: Column, numbers: npt.NDArray[np.int64]) -> dict[int, str]:
    """Rows with a candidate that its query has with another relevance before."""
    found = {}
    for own in _by_query(rows, numbers):
        known: dict[str, float] = {}
        for row, one in own:
            before = known.setdefault(one["text"], one["relevance"])
            if before != one["relevance"]:
                found[row] = (
                    f"the candidate {one['text'][:60]!r} has the relevance {one['relevance']:g}, "
                    f"and {before:g} elsewhere for the same query"
                )
    return found


def _lists(rows: Column, numbers: npt.NDArray[np.int64]) -> Iterator[dict[str, float]]:
    """Of each query its candidates and their relevances."""
    for own in _by_query(rows, numbers):
        yield {one["text"]: one["relevance"] for _, one in own}


def _shortened(split: RankingSplit, most: int) -> RankingSplit:
    """Queries with at most so many candidates, in their order."""

    def kept(labels: tuple[float, ...]) -> list[int]:
        return sorted(np.argsort(-np.array(labels), kind="stable")[:most].tolist())

    both = zip(split.labels, split.candidates, strict=True)
    texts = ([own[place] for place in kept(labels)] for labels, own in both)
    numbers = ([labels[place] for place in kept(labels)] for labels in split.labels)
    return replace(
        split, labels=stored(numbers, _NUMBERS, tuple), candidates=stored(texts, _TEXTS, tuple)
    )
