"""Examples with one label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from distill.data.bad_rows import BadRows
from distill.data.label_index import index_labels
from distill.data.labels import clean, label_issues
from distill.data.reader import Tables, TextReader
from distill.data.sources.columns import mapped
from distill.data.sources.table import Table


class LabelReader(TextReader):
    """Reads one label for each text, as its index."""

    def label_issues(self, table: Table) -> dict[int, str]:
        """Rows whose label is missing, or neither name nor integer."""
        return label_issues(table, self.columns.label, known=self.known)

    def labels(
        self, tables: Tables, notes: list[str], bad: BadRows
    ) -> tuple[Tables, dict[str, Sequence[Any]], tuple[str, ...]]:
        raw = {
            role: mapped(table.columns[self.columns.label], lambda value: [clean(value)])
            for role, table in tables.items()
        }
        # Labels that the recipe or the data name may stand in validation alone: that was declared.
        declared = self.known is not None or tables["train"].label_names is not None
        left, found, labels = index_labels(
            tables, raw, self.known, notes, bad, unseen=declared, several=False
        )
        return left, dict(found), labels


READER = LabelReader
