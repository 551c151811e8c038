"""Predictions as a file: JSON lines, a table with a column for each field, or vectors as one array.

A Parquet file cannot be appended to. Results grow as an Arrow stream, whose windows are whole one
by one, and become a Parquet file at the end.

The header of an ``.npy`` file holds the number of rows, which is known at the end only: it says
none while the file grows, and is written again when it is whole. Readers may map it into memory:
``numpy.load(path, mmap_mode="r")``.

Legend: N rows, K width of a vector.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from distill.files.bad_rows import is_unicode, json_line, plain
from distill.files.parquet import PARQUET, ParquetRows, arrow
from distill.files.rows import CSV, TSV
from distill.runtime.rows import Row
from distill.system import atomic
from distill.system.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from distill.runtime.model import BundleModel

#: What a kept column is called where the prediction has a field of its name.
INPUT = "input."
#: Rows of a row group of Parquet, or bytes where rows are long.
_GROUP, _GROUP_BYTES = 65_536, 8 << 20


class Results(ABC):
    """Turns rows with their predictions into what their file holds.

    Attributes:
        columns: ``None`` before a header is written.
    """

    columns: list[str] | None = None

    @abstractmethod
    def lines(self, rows: Sequence[Row], predictions: Sequence[Any]) -> bytes:
        """What the file holds of some rows; the first come with its header."""

    def place(self, partial: Path, out: Path, rows: int) -> None:
        """Give the file of so many rows its name; may be called again after a kill in its midst."""
        partial.chmod(0o644)
        partial.replace(out)


class Lines(Results):
    """JSON lines, or the lines of a table, in UTF-8.

    In a table (CSV, TSV) a mapping of numbers, such as ``probabilities``, becomes a column for each
    of its keys (``probabilities.positive``); every other nested field is written as JSON. The
    columns are those of the first prediction. Quotes mean themselves in a TSV file, so tabs and
    line ends in its cells become blanks.

    Args:
        out: the file's name; ``.csv`` and ``.tsv`` are tables, everything else JSON Lines.
        blank: gives the fields of some row; a table without rows has a header by them.

    Raises:
        DataError: a packed file, which cannot be gone on with.
    """

    def __init__(
        self,
        out: Path,
        *,
        texts: bool = True,
        blank: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        if out.suffix.lower() == ".gz":
            raise DataError(f"{out}: results are not packed; name a .jsonl or .csv file")
        self._line = {CSV: _csv_line, TSV: _tsv_line}.get(out.suffix.lower())
        self.texts = texts
        self._blank = blank

    def lines(self, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> bytes:
        found = [
            fields(row, prediction, texts=self.texts)
            for row, prediction in zip(rows, predictions, strict=True)
        ]
        if self._line is None:
            return "".join(json_line(one) for one in found).encode("utf-8")
        flat = [flattened(one) for one in found]
        lines = []
        if self.columns is None and flat:
            self.columns = list(flat[0])
            lines.append(self._line(self.columns))
        lines += [self._line(self._cells(one)) for one in flat]
        return "".join(lines).encode("utf-8", "backslashreplace")

    def place(self, partial: Path, out: Path, rows: int) -> None:
        if not rows and self._line and self._blank:
            partial.write_text(self._line(list(flattened(self._blank()))), encoding="utf-8")
        super().place(partial, out, rows)

    def _cells(self, row: Mapping[str, Any]) -> list[Any]:
        columns = self.columns or []
        others = [name for name in row if name not in columns]
        if others:
            raise ValueError(f"predictions differ in their fields: {', '.join(others)}")
        return [row.get(name) for name in columns]


def fields(
    row: Row, prediction: Mapping[str, Any], *, texts: bool = True, as_json: bool = True
) -> dict[str, Any]:
    """A line's fields: kept columns, as JSON can have them or as they are, texts, predictions."""
    own: dict[str, Any] = {}
    if texts:
        own["text"] = row.text
        if isinstance(row.pair, str):  # a prediction has the candidates, in their order
            own["pair"] = row.pair
    own |= prediction
    convert = plain if as_json else (lambda value: value)
    kept = {
        (INPUT + name if name in own else name): convert(value) for name, value in row.kept.items()
    }
    return {**kept, **own}


def flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as cells of a table: numbers by name get a column each, what else is nested is JSON.

    Example:
        >>> flattened({"label": "a", "probabilities": {"a": 0.75, "b": 0.25}, "words": ["x"]})
        {'label': 'a', 'probabilities.a': 0.75, 'probabilities.b': 0.25, 'words': '["x"]'}
    """
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and value and all(map(_is_number, value.values())):
            found |= {f"{name}.{key}": number for key, number in value.items()}
        elif isinstance(value, str | int | float | None):
            found[name] = value
        else:
            found[name] = json.dumps(value, ensure_ascii=False)
    return found


def _csv_line(cells: Sequence[Any]) -> str:
    text = io.StringIO(newline="")
    # Only what ends its own lines is quoted by this writer: a carriage return too, with this end.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def _tsv_line(cells: Sequence[Any]) -> str:
    texts = ("" if cell is None else re.sub(r"[\t\r\n]", " ", str(cell)) for cell in cells)
    return "\t".join(texts) + "\n"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class VectorFile(Results):
    """Turns rows into what an array of their vectors holds: float32 (N, K), in their order.

    Raises:
        DataError: the name does not end in ``.npy``.
    """

    def __init__(self, out: Path, model: BundleModel) -> None:
        if out.suffix.lower() != ".npy":
            raise DataError(f"{out}: an array of vectors is a .npy file; name one")
        self._model = model

    def lines(self, rows: Sequence[Row], predictions: Sequence[npt.NDArray[np.float32]]) -> bytes:
        head = b"" if self.columns is not None else header(0, len(predictions[0]))
        self.columns = []  # there is nothing to name
        return head + np.stack(predictions).astype("<f4").tobytes()

    def place(self, partial: Path, out: Path, rows: int) -> None:
        with partial.open("r+b") as file:
            if rows:
                npy.read_magic(file)
                width = npy.read_array_header_1_0(file)[0][1]
            else:  # nothing was written yet
                width = self._model.encode([""]).shape[1]
            file.seek(0)
            file.write(header(rows, width))
            file.flush()
            os.fsync(file.fileno())
        super().place(partial, out, rows)


def header(rows: int, width: int) -> bytes:
    """The beginning of an ``.npy`` file of float32 (N, K); as long whatever the number of rows.

    Reference:
        NEP 1, a simple file format for NumPy arrays, format version 1.0.
    """
    content = io.BytesIO()
    what = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    npy.write_array_header_1_0(content, what)  # leaves room for the first number to grow
    return content.getvalue()


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


class ParquetResults(Results):
    """Turns rows with their predictions into windows of an Arrow stream, and that into the file.

    A mapping of numbers (``probabilities``) is a struct of doubles, a vector a list of floats, and
    what else is nested is JSON. A kept column has the type that it has in the Parquet files it
    comes from, and is text where it comes from other files.

    Args:
        texts: whether rows carry the texts along.
        blank: gives the fields of some row; for kept columns their Arrow types, where known.
    """

    def __init__(self, *, texts: bool, blank: Callable[[], Mapping[str, Any]]) -> None:
        self.texts, self._blank = texts, blank
        self._schema: pa.Schema | None = None

    @property
    def schema(self) -> pa.Schema:
        if self._schema is None:
            pa = arrow()
            types = {name: _type(pa, value) for name, value in self._blank().items()}
            self._schema = pa.schema(list(types.items()))
        return self._schema

    def lines(self, rows: Sequence[Any], predictions: Sequence[Mapping[str, Any]]) -> bytes:
        pa, schema = arrow(), self.schema
        found = [
            fields(row, prediction, texts=self.texts, as_json=False)
            for row, prediction in zip(rows, predictions, strict=True)
        ]
        head = b"" if self.columns is not None else schema.serialize().to_pybytes()
        self.columns = list(schema.names)
        arrays = [
            pa.array([_cell(pa, one[column.name], column.type) for one in found], column.type)
            for column in schema
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return head + bytes(batch.serialize().to_pybytes())

    def place(self, partial: Path, out: Path, rows: int) -> None:
        pa = arrow()
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
