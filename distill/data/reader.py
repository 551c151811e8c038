"""How the examples of a task kind are read; each kind has a reader in its folder."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from distill.data.bad_rows import BadRows
from distill.data.sources.table import ADVICE, Table, id_issues, text_issues
from distill.data.split import Split, named
from distill.recipe.schema import Columns
from distill.system.errors import DataError

Tables = dict[str, Table]
#: The examples of every split, and the names of the labels.
Examples = tuple[Mapping[str, Split], tuple[str, ...]]
#: The rows that are left, the labels of each role, and the names of the outputs.
Labels = tuple[Tables, dict[str, Sequence[Any]], tuple[str, ...]]


class Reader(ABC):
    """Reads tables of one task kind: which columns, and how rows become examples.

    Attributes:
        bad: what to do with rows that cannot be used.
        notes: what a reader of the results should know, one sentence each.
        known: ``task.labels``.
        column_files: whether examples are words with tags, which column files hold too.
        several: whether an example may have several labels.
        label_key: which of ``data.columns`` has the labels.
    """

    column_files: ClassVar[bool] = False
    several: ClassVar[bool] = False
    label_key: ClassVar[str] = "label"

    def __init__(self, columns: Columns, task: Any, bad: BadRows | None = None) -> None:
        self.columns, self.task = columns, task
        self.bad, self.notes = bad or BadRows(), list[str]()
        self.known: Sequence[str] | None = task.labels

    @property
    def wanted(self) -> list[str]:
        named = [getattr(self.columns, key) for key in self.task.columns if key != "separator"]
        return [name for name in named if name is not None]

    @property
    def label_column(self) -> str:
        return str(getattr(self.columns, self.label_key))

    @abstractmethod
    def read(self, tables: Tables) -> Examples:
        """The examples of every split, by role, checked, and the names of the labels.

        Raises:
            DataError: rows cannot be used, with their place.
        """

    def check(self, splits: Mapping[str, Split], labels: Sequence[str], *, place: str) -> list[str]:
        """Refuse examples, as they will be used, that nothing can be learned from, or scored on.

        Args:
            splits: by role.
            labels: the task's labels.
            place: where the training examples stand, for errors.

        Returns:
            What a reader of the results should know, one sentence each.
        """
        return []


class TextReader(Reader):
    """Reads texts, or pairs of texts, with labels."""

    @abstractmethod
    def label_issues(self, table: Table) -> dict[int, str]:
        """Rows whose label is missing or of the wrong kind: what is wrong, by the row's index.

        Raises:
            DataError: no such column.
        """

    @abstractmethod
    def labels(self, tables: Tables) -> Labels:
        """The labels of tables, by role, without the rows that :meth:`label_issues` named.

        Raises:
            DataError: labels cannot be used, with the row.
        """

    def read(self, tables: Tables) -> Examples:
        tables = {role: self._checked(table) for role, table in tables.items()}
        self.bad.check({table.place: len(table) for table in tables.values()})
        tables, targets, labels = self.labels(tables)
        second = self.columns.text_pair
        splits = {
            role: Split(
                role,
                table.columns[self.columns.text],
                targets[role],
                pairs=None if second is None else table.columns[second],
                outputs=len(labels) if self.several else None,
                numbers=table.numbers,
            )
            for role, table in tables.items()
        }
        return splits, labels

    def _checked(self, table: Table) -> Table:
        columns, bad = self.columns, self.bad
        for name, key in ((columns.text, "text"), (columns.text_pair, "text_pair")):
            if name is not None:
                issues = text_issues(table, name, f"data.columns.{key}")
                table = bad.sift(table, issues, advice=ADVICE)
        table = bad.sift(table, self.label_issues(table))
        return table if columns.id is None else bad.sift(table, id_issues(table, columns.id))

    def check(self, splits: Mapping[str, Split], labels: Sequence[str], *, place: str) -> list[str]:
        """See :meth:`Reader.check`: training examples must have two labels at least."""
        train = splits["train"]
        if len(set(train.labels)) < 2:
            only = named(train.labels[0], labels) if train.labels else "none"
            raise DataError(
                f"{place}: the {len(train):,} training examples kept all have the label '{only}'"
                f"{keep_more(place)}"
            )
        return [
            f"{split.name}: all {len(split):,} examples have the label "
            f"'{labels[split.labels[0]]}'; a model that always predicts it has the best score"
            for role, split in splits.items()
            if role != "train"
            and isinstance(split.labels[0], int)
            and len(set(split.labels)) == 1 < len(split)
        ]


#: Where training examples stand that ``data.limit_train`` drew, for errors.
LIMITED = "data.limit_train"


def keep_more(place: str) -> str:
    """Advice for an error about training examples that a limit drew."""
    return "; keep more" if place == LIMITED else ""


def as_number(value: Any) -> float:
    """A cell as a number; NaN where it is none."""
    try:
        return math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan
