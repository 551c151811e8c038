"""Parquet files of any size, read and written a window at a time; pyarrow is imported when used.

A Parquet file cannot be appended to. Results grow as an Arrow stream, whose windows are whole one
by one, and become a Parquet file at the end.

Legend: N rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.files.bad_rows import is_unicode, plain
from distill.system import atomic
from distill.system.errors import DataError, UserError, listed

if TYPE_CHECKING:
    import pyarrow as pa

#: What the name of such a file ends in.
PARQUET = ".parquet"
#: Rows read at once.
_READ = 1024
#: Rows of a group of the results, or bytes where rows are long.
_GROUP, _GROUP_BYTES = 65_536, 8 << 20
#: Bytes read at once of a column: a row group is never held as a whole.
_BUFFER = 1 << 20


def _arrow() -> Any:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("pyarrow is needed for .parquet files: pip install pyarrow") from error
    return pa


class ParquetRows:
    """The rows of a Parquet file.

    Attributes:
        columns: the Arrow type of each column.
        count: N.

    Raises:
        DataError: there is no such file, it is no whole Parquet file, or a column name occurs twice
            in it.
        UserError: pyarrow is not installed.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        with self._opened() as file:
            schema = file.schema_arrow
            self.columns: dict[str, Any] = dict(zip(schema.names, schema.types, strict=True))
            self.count = int(file.metadata.num_rows)
        if len(self.columns) < len(schema.names):
            twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
            raise DataError(f"{source}: a column name occurs twice: {listed(twice)}")

    def rows(self, wanted: Sequence[str], start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Rows with their numbers, from 1, and their values of the wanted columns.

        ``start`` rows are left out; groups before them are not read.
        """
        with self._opened() as file:
            groups: list[int] = []
            first = 0
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if groups or start < first + size:
                    groups.append(group)
                else:
                    first += size
            if not groups:
                return
            batches = file.iter_batches(_READ, groups, list(wanted), use_threads=False)
            number = first
            for batch in batches:
                skipped = min(max(start - number, 0), batch.num_rows)
                for offset, values in enumerate(batch.slice(skipped).to_pylist(), skipped + 1):
                    yield number + offset, values
                number += batch.num_rows

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        pa, path = _arrow(), Path(self.source)
        if not path.is_file():
            what = "a folder, not a file" if path.is_dir() else "no such file"
            raise DataError(f"{path}: {what}")
        try:
            with pa.parquet.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            what = " ".join(str(error).split())
            raise DataError(f"{path}: not a whole Parquet file ({what})") from error


@cache
def column_types(sources: tuple[str, ...], names: tuple[str, ...]) -> dict[str, Any]:
    """The Arrow types of columns that are the same in all of some Parquet files."""
    if not names or not all(source.lower().endswith(PARQUET) for source in sources):
        return {}
    tables = [ParquetRows(source).columns for source in sources]
    return {
        name: tables[0][name]
        for name in names
        if all(name in table and table[name] == tables[0].get(name) for table in tables)
    }


class ParquetResults:
    """Turns rows with their predictions into windows of an Arrow stream, and that into the file.

    A mapping of numbers (``probabilities``) is a struct of doubles, a vector a list of floats, and
    what else is nested is JSON. A kept column has the type that it has in the Parquet files it
    comes from, and is text where it comes from other files.

    Args:
        fields: what a line of the results holds; see :func:`distill.runtime.results.fields`.
        blank: gives the fields of some row; for kept columns their Arrow types, where known.

    Attributes:
        columns: ``None`` before the schema is written.
    """

    def __init__(
        self,
        fields: Callable[[Any, Mapping[str, Any]], dict[str, Any]],
        blank: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.columns: list[str] | None = None
        self._fields, self._blank = fields, blank
        self._schema: pa.Schema | None = None

    @property
    def schema(self) -> pa.Schema:
        if self._schema is None:
            pa = _arrow()
            types = {name: _type(pa, value) for name, value in self._blank().items()}
            self._schema = pa.schema(list(types.items()))
        return self._schema

    def lines(self, rows: Sequence[Any], predictions: Sequence[Mapping[str, Any]]) -> bytes:
        """Rows as a part of the stream; the first come with its schema."""
        pa, schema = _arrow(), self.schema
        found = [self._fields(*one) for one in zip(rows, predictions, strict=True)]
        head = b"" if self.columns is not None else schema.serialize().to_pybytes()
        self.columns = list(schema.names)
        arrays = [
            pa.array([_cell(pa, one[column.name], column.type) for one in found], column.type)
            for column in schema
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return head + bytes(batch.serialize().to_pybytes())

    def place(self, partial: Path, out: Path, rows: int) -> None:
        """Write the file; may be called again after a kill in its midst."""
        pa = _arrow()
        with (
            atomic.new_file(out) as temporary,
            pa.parquet.ParquetWriter(temporary, self.schema) as writer,
        ):
            for group in _groups(pa, partial if rows else None):
                writer.write_table(pa.Table.from_batches(group))
        partial.unlink()


def _groups(pa: Any, stream: Path | None) -> Iterator[list[Any]]:
    if stream is None:
        return
    group: list[Any] = []
    with stream.open("rb") as file, pa.ipc.open_stream(file) as batches:
        for batch in batches:
            group.append(batch)
            rows, size = sum(one.num_rows for one in group), sum(one.nbytes for one in group)
            if rows >= _GROUP or size >= _GROUP_BYTES:
                yield group
                group = []
    if group:
        yield group


def _type(pa: Any, value: Any) -> Any:
    """The type of a field, by what it holds for some text."""
    if isinstance(value, pa.DataType):
        return value.value_type if pa.types.is_dictionary(value) else value
    return pa.string() if value is None else pa.array([as_cell(value)]).type


def as_cell(value: Any) -> Any:
    """A predicted value with a type that does not depend on the row."""
    if isinstance(value, list) and _are_floats(value):
        return np.asarray(value, dtype=np.float32)
    if isinstance(value, list) or (isinstance(value, Mapping) and not _are_floats(value.values())):
        return json.dumps(value, ensure_ascii=False)
    return value


def _are_floats(values: Collection[Any]) -> bool:
    return bool(values) and all(isinstance(one, float) for one in values)


def _cell(pa: Any, value: Any, kind: Any) -> Any:
    if value is None or not pa.types.is_string(kind):
        return value
    if isinstance(value, str) and is_unicode(value):
        return value
    return json.dumps(plain(value), ensure_ascii=not isinstance(value, list | Mapping))
