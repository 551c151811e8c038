"""Predictions as a file: JSON lines, a table with a column for each field, or vectors as one array.

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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from distill.files.bad_rows import json_line, plain
from distill.files.rows import CSV, TSV
from distill.runtime.rows import Row
from distill.system.errors import DataError

if TYPE_CHECKING:
    from distill.runtime.model import BundleModel

#: What a kept column is called where the prediction has a field of its name.
INPUT = "input."


class Results:
    """Turns rows with their predictions into lines.

    In a table (CSV, TSV) a mapping of numbers, such as ``probabilities``, becomes a column for each
    of its keys (``probabilities.positive``); every other nested field is written as JSON. The
    columns are those of the first prediction. Quotes mean themselves in a TSV file, so tabs and
    line ends in its cells become blanks.

    Args:
        out: the file's name; ``.csv`` and ``.tsv`` are tables, everything else JSON Lines.
        texts: whether lines carry the texts along.
        columns: the columns of a table that was begun before.
        blank: gives the fields of some row; a table without rows has a header by them.

    Raises:
        DataError: a packed file, which cannot be gone on with.
    """

    def __init__(
        self,
        out: Path,
        *,
        texts: bool = True,
        columns: Sequence[str] | None = None,
        blank: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        if out.suffix.lower() == ".gz":
            raise DataError(f"{out}: results are not packed; name a .jsonl or .csv file")
        self._line = {CSV: _csv_line, TSV: _tsv_line}.get(out.suffix.lower())
        self.texts = texts
        self.columns = None if columns is None else list(columns)
        self._blank = blank

    def lines(self, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> bytes:
        """The lines of rows, in UTF-8; the first of a table come with its header."""
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
        """Give the file its name; may be called again after a kill in its midst."""
        if not rows and self._line and self._blank:
            partial.write_text(self._line(list(flattened(self._blank()))), encoding="utf-8")
        partial.chmod(0o644)
        partial.replace(out)

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


class VectorFile:
    """Turns rows into what an array of their vectors holds: float32 (N, K), in their order.

    Attributes:
        columns: ``None`` before the header is written, then empty: there is nothing to name.

    Raises:
        DataError: the name does not end in ``.npy``.
    """

    def __init__(self, out: Path, model: BundleModel) -> None:
        if out.suffix.lower() != ".npy":
            raise DataError(f"{out}: an array of vectors is a .npy file; name one")
        self._model = model
        self.columns: list[str] | None = None

    def lines(self, rows: Sequence[Row], vectors: Sequence[npt.NDArray[np.float32]]) -> bytes:
        """The rows' vectors as bytes; the first come with the header."""
        head = b"" if self.columns is not None else header(0, len(vectors[0]))
        self.columns = []
        return head + np.stack(vectors).astype("<f4").tobytes()

    def place(self, partial: Path, out: Path, rows: int) -> None:
        """Say in the header how many examples there are, and give the file its name."""
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
        partial.chmod(0o644)
        partial.replace(out)


def header(rows: int, width: int) -> bytes:
    """The beginning of an ``.npy`` file of float32 (N, K); as long whatever the number of rows.

    Reference:
        NEP 1, a simple file format for NumPy arrays, format version 1.0.
    """
    content = io.BytesIO()
    what = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    npy.write_array_header_1_0(content, what)  # leaves room for the first number to grow
    return content.getvalue()
