"""Lines of a text file, plain or gzip, as UTF-8 or not at all."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from distill.errors import DataError

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line with its line end) of a file; a byte order mark is left out.

    Raises:
        DataError: the file is empty, cannot be read, is a damaged gzip file, is not UTF-8, or
            holds NUL bytes; the message gives the line, and the byte from the file's start.
    """
    number, offset = 0, 0
    try:
        with _open(path) as file:
            for number, raw in enumerate(file, start=1):
                yield number, _decode(path, number, offset, raw)
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


def _decode(path: Path, number: int, offset: int, raw: bytes) -> str:
    if number == 1:
        if raw.startswith(_UTF16):
            raise DataError(f"{path}:1: UTF-16, not UTF-8; save the file as UTF-8")
        raw = raw.removeprefix(_BOM)
    nul = raw.find(0)
    if nul >= 0:
        raise DataError(
            f"{path}:{number}: a NUL byte at byte {offset + nul}; this is not a text file, or a "
            "damaged one"
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}:{number}: not UTF-8 at byte {offset + error.start} "
            f"(0x{raw[error.start]:02x}); save the file as UTF-8"
        ) from None
