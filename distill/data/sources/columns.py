"""Columns of rows in a memory-mapped Arrow file: they take no memory, however many there are.

The file has no name: it is gone with the columns, whatever ends the process.
"""

from __future__ import annotations

import json
import mmap
import operator
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from distill.files.bad_rows import is_unicode
from distill.system.cache import cache_folder
from distill.system.errors import DataError

#: Rows that are written, and read, at a time.
_CHUNK = 4096
#: Rows that are read for each one wanted, before it pays to read them one by one.
_SPARSE = 16
#: Before a value that is no text and stands as JSON; a text that begins with it does so too.
_JSON = "\0"


class Column(Sequence[Any]):
    """One value for each row, read from the file when it is asked for.

    Args:
        values: the values as they are stored.
        decode: makes a value of what is stored; left out, that is the value.
        rows: the numbers of the rows that the column has; ``None`` for all.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        values: pa.ChunkedArray,
        *,
        decode: Callable[[Any], Any] | None = None,
        rows: npt.NDArray[np.int64] | None = None,
    ) -> None:
        self._values, self._decode, self._rows = values, decode, rows

    def __len__(self) -> int:
        return len(self._values) if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return self._read(start, stop)
            return [self[place] for place in range(start, stop, step)]
        place = range(len(self))[operator.index(index)]  # negative ones, and what is outside
        row = place if self._rows is None else int(self._rows[place])
        value = self._values[row].as_py()
        return value if self._decode is None else self._decode(value)

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self), _CHUNK):
            yield from self._read(start, min(start + _CHUNK, len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process gets the values: the file has no name.
        return list, (list(self),)

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Column:
        """The column of the rows with these numbers, in the order given."""
        chosen = np.asarray(rows, dtype=np.int64)
        own = chosen if self._rows is None else self._rows[chosen]
        return Column(self._values, decode=self._decode, rows=own)

    def mapped(self, function: Callable[[Any], Any]) -> Column:
        """The column of what a function makes of each value when it is asked for."""
        first = self._decode
        both = function if first is None else lambda value: function(first(value))
        return Column(self._values, decode=both, rows=self._rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Numbers as they are stored, for ``np.asarray``; other values one by one."""
        if self._decode is not None or not pa.types.is_primitive(self._values.type):
            return np.array(list(self), dtype=dtype)
        found: npt.NDArray[Any] = self._values.to_numpy()
        return (found if self._rows is None else found[self._rows]).astype(dtype or found.dtype)

    def _read(self, start: int, stop: int) -> list[Any]:
        if stop <= start:
            return []
        if self._rows is None:
            values = self._values.slice(start, stop - start).to_pylist()
        else:
            rows = self._rows[start:stop]
            low, high = int(rows.min()), int(rows.max()) + 1
            if high - low <= _SPARSE * len(rows):
                part = self._values.slice(low, high - low).to_pylist()
                values = [part[row] for row in (rows - low).tolist()]
            else:
                values = [self._values[row].as_py() for row in rows.tolist()]
        return values if self._decode is None else list(map(self._decode, values))


def take(values: Sequence[Any], rows: Sequence[int] | npt.NDArray[np.int64]) -> Sequence[Any]:
    """The values of the rows with these numbers, in the order given."""
    return values.take(rows) if isinstance(values, Column) else [values[row] for row in rows]


def mapped(values: Sequence[Any], function: Callable[[Any], Any]) -> Sequence[Any]:
    """What a function makes of each value; of a column when it is asked for."""
    return values.mapped(function) if isinstance(values, Column) else [*map(function, values)]


class ColumnWriter:
    """Writes rows of text, or of what JSON has, to a file, some thousand at a time.

    Args:
        file: takes the bytes, for :func:`text_columns`; left out, a file that is gone with them.

    Raises:
        DataError: the file cannot be written, as for the methods.
    """

    def __init__(self, names: Sequence[str], file: Any = None) -> None:
        self.names = list(names)
        self._waiting: dict[str, list[str]] = {name: [] for name in names}
        self._schema = pa.schema([(name, pa.large_string()) for name in self._waiting])
        self._file, self._rows = _MappedFile(self._schema, file), 0

    def append(self, values: Mapping[str, Any]) -> None:
        """Append a row; values that it lacks are ``None``."""
        for name, waiting in self._waiting.items():
            waiting.append(_encoded(values.get(name)))
        self._rows += 1
        if self._rows % _CHUNK == 0:
            self._flush()

    def _flush(self) -> None:
        self._file.write(pa.record_batch(list(self._waiting.values()), schema=self._schema))
        for waiting in self._waiting.values():
            waiting.clear()

    def close(self) -> None:
        """Write what is left, to a ``file``."""
        self._flush()
        self._file.close()

    def columns(self) -> dict[str, Sequence[Any]]:
        """All columns, once every row is written."""
        self._flush()
        return text_columns(self._file.mapped())


def text_columns(content: Any) -> dict[str, Sequence[Any]]:
    """The columns of a :class:`ColumnWriter` in its file's bytes, which are not copied."""
    table = _table(content)
    return {name: Column(table[name], decode=_decoded) for name in table.schema.names}


def stored(
    values: Iterable[Any], kind: pa.DataType, decode: Callable[[Any], Any] | None = None
) -> Column:
    """Values of a type as a column that decodes them; taken some thousand at a time.

    Raises:
        DataError: the file cannot be written.
    """
    left, schema = iter(values), pa.schema([("value", kind)])
    parts = iter(lambda: list(islice(left, _CHUNK)), [])
    batches = (pa.record_batch([pa.array(part, kind)], schema=schema) for part in parts)
    return Column(_written(schema, batches)["value"], decode=decode)


def mapped_columns(
    schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> dict[str, Sequence[Any]]:
    """Batches of Arrow as columns; what they hold stays of their types.

    Raises:
        DataError: the file cannot be written.
    """
    table = _written(schema, batches)
    return {name: Column(table[name]) for name in schema.names}


def _written(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    file = _MappedFile(schema)
    for batch in batches:
        file.write(batch)
    return _table(file.mapped())


def _table(content: Any) -> pa.Table:
    return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(content))).read_all()


class _MappedFile:
    """A file in the cache's folder, without a name; or what ``file`` is."""

    def __init__(self, schema: pa.Schema, file: Any = None) -> None:
        try:
            cache_folder().mkdir(parents=True, exist_ok=True)
            self._file = file or tempfile.TemporaryFile(dir=cache_folder())  # noqa: SIM115 - mapped
        except OSError as error:
            raise _not_written(error) from error
        self._writer = pa.ipc.new_file(self._file, schema)

    def write(self, batch: pa.RecordBatch) -> None:
        try:
            self._writer.write_batch(batch)
        except OSError as error:
            raise _not_written(error) from error

    def close(self) -> None:
        self._writer.close()

    def mapped(self) -> mmap.mmap:
        self.close()
        self._file.flush()
        content = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file.close()
        return content


def _encoded(value: Any) -> str:
    if isinstance(value, str) and not value.startswith(_JSON) and is_unicode(value):
        return value
    return _JSON + json.dumps(value)


def _decoded(value: str) -> Any:
    return json.loads(value[1:]) if value.startswith(_JSON) else value


def _not_written(error: OSError) -> DataError:
    return DataError(
        f"cannot write rows to the cache {cache_folder()}: {error.strerror}; free some space there "
        "or set DISTILL_CACHE to another folder"
    )
