"""Rows that cannot be used: refused at the first one, or set aside and counted.

Whatever reads rows, from whatever kind of file, tells a :class:`BadRows` what is wrong with them.
By the recipe's ``data.on_bad_row`` that raises an error, or keeps the row for ``bad_rows.jsonl``;
a row is never fixed in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from distill.data.sources.columns import Column, stored
from distill.data.sources.table import Table
from distill.files.bad_rows import BadRow, BadRowError, bad_line
from distill.system import atomic
from distill.system.errors import DataError

#: The file in the run folder that bad rows are set aside in.
BAD_ROWS = "bad_rows.jsonl"
#: What else can be done, for the errors of those who are asked for a recipe's rows.
HINT = "or set bad rows aside with data.on_bad_row: skip"


class BadRows:
    """What to do with rows that cannot be used, and those that were set aside so far, in order.

    Args:
        policy: ``refuse`` raises at the first bad row, ``skip`` sets them aside.
    """

    def __init__(self, policy: Literal["refuse", "skip"] = "refuse") -> None:
        self.skips = policy == "skip"
        self.rows: list[BadRow] = []

    def add(self, source: str, place: str, reason: str, content: Any) -> None:
        """Refuse a row, or set it aside; see :class:`BadRow`.

        Raises:
            BadRowError: bad rows are refused.
        """
        if not self.skips:
            raise BadRowError(f"{place}: {reason}")
        self.rows.append(BadRow(place, reason, content, source))

    def sift(self, table: Table, issues: Mapping[int, str], *, advice: str = "") -> Table:
        """Take the bad rows out of a table; the table itself where all are fine.

        ``issues`` are what is wrong, by the row's index; ``advice`` is what to do, for the error.

        Raises:
            BadRowError: there are bad rows, and they are refused.
        """
        if not issues:
            return table
        order = sorted(issues)
        if not self.skips:
            more = len(order) - 1
            rest = f" (and {more:,} more row{'s' * (more > 1)})" if more else ""
            said = f"; {advice}" if advice else ""
            raise BadRowError(f"{table.at(order[0])}: {issues[order[0]]}{rest}{said}")
        for row in order:
            content = {name: values[row] for name, values in table.columns.items()}
            self.rows.append(BadRow(table.at(row), issues[row], content, table.place))
        return table.take(np.delete(np.arange(len(table)), order))

    def read(
        self,
        table: Table,
        values: Iterable[Any],
        kind: pa.DataType,
        decode: Callable[[Any], Any] | None = None,
    ) -> tuple[Table, Column]:
        """Keep what was read of each row, and take out the rows that it could not be read of.

        Of the values of the table's rows a ``str`` is what is wrong with the row; the others are
        stored as ``kind``, see :func:`~distill.data.sources.columns.stored`.

        Raises:
            BadRowError: there are bad rows, and they are refused.
        """
        issues: dict[int, str] = {}

        def good() -> Iterator[Any]:
            for row, value in enumerate(values):
                if isinstance(value, str):
                    issues[row] = value
                else:
                    yield value

        column = stored(good(), kind, decode)
        return self.sift(table, issues), column

    def of(self, source: str) -> list[BadRow]:
        """The rows of one source that were set aside."""
        return [row for row in self.rows if row.source == source]

    def check(self, kept: Mapping[str, int]) -> None:
        """Look whether most rows are good, so many of each source: else it is not the rows.

        Raises:
            DataError: more than half of the rows of a source are bad.
        """
        for source, good in kept.items():
            own = self.of(source)
            if len(own) > good:
                raise DataError(
                    f"{source}: {len(own):,} of {len(own) + good:,} rows are bad, more than half, "
                    "so none is set aside; is it the right file, with the right data.columns? "
                    f"The first: {own[0].place}: {own[0].reason}"
                )

    def notes(self, kept: Mapping[str, int]) -> list[str]:
        """One sentence for each source with bad rows; arguments and errors as of :meth:`check`."""
        self.check(kept)
        return [
            f"{source}: {len(own):,} of {len(own) + good:,} rows set aside as bad, see {BAD_ROWS}; "
            f"the first: {own[0].place}: {own[0].reason}"
            for source, good in kept.items()
            if (own := self.of(source))
        ]


def write_bad_rows(path: Path, rows: Sequence[BadRow]) -> None:
    """Write what was set aside: one JSON object a line with ``place``, ``reason`` and ``row``."""
    atomic.write_text(path, "".join(map(bad_line, rows)))
