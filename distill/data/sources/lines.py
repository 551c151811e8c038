"""Lines of a text file, plain or gzip, as UTF-8 or not at all."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, cast

from distill.errors import DataError

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Line(NamedTuple):
    """A line of a file."""

    number: int
    """From 1."""
    text: str
    """With its line end; bytes that are not UTF-8 as ``\\xff``."""
    fault: str | None = None
    """What is wrong with it."""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line with its line end) of a file; a byte order mark is left out.

    Raises:
        DataError: the file is empty, cannot be read, is a damaged gzip file, is not UTF-8, or
            holds NUL bytes; the message gives the line, and the byte from the file's start.
    """
    for line in read_all_lines(path):
        if line.fault is not None:
            raise DataError(f"{path}:{line.number}: {line.fault}")
        yield line.number, line.text


def read_all_lines(path: Path) -> Iterator[Line]:
    """Yield every line of a file, those too that cannot be used, with what is wrong with them.

    Raises:
        DataError: what is wrong with the file as a whole: it is empty, UTF-16, a damaged gzip
            file, or cannot be read.
    """
    number, offset = 0, 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, start=1):
                yield _decode(path, number, offset, raw)
                offset += len(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        place = f"{path}:{number + 1}"
        raise DataError(f"{place}: not a whole gzip file ({error}); copy it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if number == 0:
        raise DataError(f"{path}: the file is empty; it needs rows to learn from")


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _decode(path: Path, number: int, offset: int, raw: bytes) -> Line:
    if number == 1:
        if raw.startswith(_UTF16):
            raise DataError(f"{path}:1: UTF-16, not UTF-8; save the file as UTF-8")
        raw = raw.removeprefix(_BOM)
    fault = None
    nul = raw.find(0)
    if nul >= 0:
        fault = f"a NUL byte at byte {offset + nul}; this is not a text file, or a damaged one"
    try:
        return Line(number, raw.decode("utf-8"), fault)
    except UnicodeDecodeError as error:
        fault = fault or (
            f"not UTF-8 at byte {offset + error.start} (0x{raw[error.start]:02x}); save the file "
            "as UTF-8"
        )
        return Line(number, raw.decode("utf-8", "backslashreplace"), fault)
