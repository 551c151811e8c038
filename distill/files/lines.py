"""Lines of text files and of standard input: UTF-8, plain or gzip, one at a time."""

from __future__ import annotations

import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from distill.system.errors import DataError

#: The name that stands for standard input.
STDIN = "-"
#: Bytes that encoding and line ends are told from, at most.
_START = 1 << 16
_BOM = b"\xef\xbb\xbf"
# UTF-32's marks begin with UTF-16's, so they are looked for first.
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32, not UTF-8; save the file as UTF-8",
    b"\0\0\xfe\xff": "UTF-32, not UTF-8; save the file as UTF-8",
    b"\xff\xfe": "UTF-16, not UTF-8; save the file as UTF-8",
    b"\xfe\xff": "UTF-16, not UTF-8; save the file as UTF-8",
    b"\x1f\x8b": "a gzip file, whose name must end in .gz",
    b"PK\x03\x04": "a zip archive or a spreadsheet, not text; unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "a spreadsheet or an Office file, not text; save it as CSV",
    b"PAR1": "a parquet file, whose name must end in .parquet",
    b"%PDF-": "a PDF, not text",
}
#: What unpacking raises for a file that is cut, damaged or not packed at all.
NOT_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)
#: Bytes that hardly stand in text; of UTF-16's and UTF-32's bytes they are a third and more.
_CONTROLS = bytes({*range(0x20)} - {*b"\t\n\v\f\r\x1b"})


class Line(NamedTuple):
    """A line of a file."""

    number: int
    """From 1."""
    text: str
    """With its line end; bytes that are not UTF-8 as ``\\xff``."""
    issue: str | None = None
    """What is wrong with it."""

    @property
    def content(self) -> str:
        """The line without its end."""
        return self.text.removesuffix("\n").removesuffix("\r")


class Lines:
    """The lines of a file, read as they are needed.

    A line ends with LF or CRLF; with CR alone only where the file has no other line ends.

    Args:
        source: the file's path; ``-`` is standard input.
        longest: bytes after which a line is cut, at a space where there is one; ``None`` for never.
        quoted: line ends may stand in quoted fields too, so the first one tells what ends a line.
        before_read: called before more is read: a pipe may have to be waited on.

    Attributes:
        place: what errors call the file.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        longest: int | None = None,
        quoted: bool = False,
        before_read: Callable[[], None] | None = None,
    ) -> None:
        self._before_read = before_read or (lambda: None)
        self._source, self._longest, self._quoted = str(source), longest, quoted
        self.place = "standard input" if self._source == STDIN else self._source
        self._raw: BinaryIO | None = None

    @property
    def position(self) -> int:
        """Bytes of the file as it lies on the disk, packed or not, that have been read."""
        return self._raw.tell() if self._raw is not None else Path(self._source).stat().st_size

    def __iter__(self) -> Iterator[Line]:
        """Every line, those too that cannot be used, with what is wrong with them.

        Raises:
            DataError: the file as a whole cannot be used: it is missing, in another encoding, or a
                damaged gzip file.
        """
        number = 1
        try:
            with opened(self._source) as (raw, file):
                start = _beginning(file)
                if what := _other_encoding(start):
                    raise DataError(f"{self.place}:1: {what}")
                offset = len(_BOM) if start.startswith(_BOM) else 0
                whole: io.RawIOBase = _Rejoined(start[offset:], file, self._before_read)
                rest = cast("BinaryIO", io.BufferedReader(whole, _START))
                self._raw = raw
                for content in self._pieces(rest, _ends_in_cr(start, quoted=self._quoted)):
                    yield _decode(number, offset, content)
                    offset += len(content)
                    number += content.endswith((b"\n", b"\r"))
                self._raw = None
        except NOT_GZIP as error:
            raise not_gzip(f"{self.place}:{number}", error) from error
        except OSError as error:
            raise DataError(f"{self.place}: cannot be read: {error.strerror or error}") from error

    def good(self) -> Iterator[Line]:
        """Every line.

        Raises:
            DataError: a line that is not UTF-8 or holds a NUL byte, or the file cannot be used.
        """
        for line in self:
            if line.issue is not None:
                raise DataError(f"{self.place}:{line.number}: {line.issue}")
            yield line

    def _pieces(self, file: BinaryIO, ends_in_cr: bool) -> Iterator[bytes]:
        """Lines as bytes, and parts of those that are longer than is wanted."""
        # Latin-1 has a character for each byte and back; its reader knows all line ends.
        text = io.TextIOWrapper(file, "latin-1", newline="") if ends_in_cr else None
        longest = self._longest or -1
        kept = b""
        while line := text.readline(longest).encode("latin-1") if text else file.readline(longest):
            line, kept = kept + line, b""
            if 0 < longest <= len(line) and not line.endswith((b"\n", b"\r")):
                end = line.rfind(b" ") + 1 or _between_characters(line)
                line, kept = line[:end], line[end:]
            yield line
        if kept:
            yield kept


@contextmanager
def opened(source: str) -> Iterator[tuple[BinaryIO, io.BufferedIOBase]]:
    """A file's bytes as they lie on the disk, and unpacked.

    Raises:
        DataError: there is no such file.
    """
    if source == STDIN:
        yield sys.stdin.buffer, cast("io.BufferedIOBase", sys.stdin.buffer)
        return
    path = Path(source)
    require_file(path)
    with path.open("rb") as raw:
        packed = path.suffix.lower() == ".gz"
        yield raw, gzip.GzipFile(fileobj=raw) if packed else raw


def require_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        DataError: so it is.
    """
    if not path.is_file():
        raise DataError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")


def not_gzip(place: str, error: Exception) -> DataError:
    """The error for a file that does not unpack."""
    return DataError(f"{place}: not a whole gzip file ({error}); copy it again")


def _beginning(file: io.BufferedIOBase) -> bytes:
    """A line and what came along with it: a pipe is not waited on for more than its first line."""
    start = file.read1(_START)
    while start and b"\n" not in start and len(start) < _START and (more := file.read1(_START)):
        start += more
    return start


class _Rejoined(io.RawIOBase):
    """A stream whose first bytes were read already."""

    def __init__(
        self, start: bytes, rest: io.BufferedIOBase, before_read: Callable[[], None]
    ) -> None:
        self._start, self._rest, self._before_read = start, rest, before_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        part = self._start[: len(buffer)]
        if not part:
            self._before_read()
            part = self._rest.read1(len(buffer))
        self._start = self._start[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def _other_encoding(start: bytes) -> str | None:
    """What a file is that is not UTF-8 text, by its first bytes, and what to do."""
    for mark, what in _MARKS.items():
        if start.startswith(mark):
            return what
    controls = len(start) - len(start.translate(None, _CONTROLS))
    if controls < 4 or 3 * controls <= len(start):
        return None
    found = "NUL bytes" if b"\0" in start else "control characters"
    return f"not UTF-8 text ({found}: UTF-16 or UTF-32, or no text at all); save the file as UTF-8"


def _ends_in_cr(start: bytes, *, quoted: bool) -> bool:
    """Whether lines end with carriage returns alone.

    Elsewhere these are characters of a text: cutting there would make two rows of one.
    """
    if quoted:
        end = re.search(rb"\r\n|\r|\n", start)
        return end is not None and end.group() == b"\r"
    return b"\r" in start and b"\n" not in start


def _between_characters(line: bytes) -> int:
    """A place near the end where UTF-8 may be cut."""
    near = range(len(line) - 1, max(len(line) - 5, 0), -1)
    return next((end for end in near if line[end] & 0xC0 != 0x80), len(line))


def _decode(number: int, offset: int, content: bytes) -> Line:
    issue = None
    if (nul := content.find(0)) >= 0:
        issue = f"a NUL byte at byte {offset + nul}; this is not a text file, or a damaged one"
    try:
        return Line(number, content.decode("utf-8"), issue)
    except UnicodeDecodeError as error:
        byte = content[error.start]
        issue = issue or (
            f"not UTF-8 at byte {offset + error.start} (0x{byte:02x}); save the file as UTF-8"
        )
        return Line(number, content.decode("utf-8", "backslashreplace"), issue)
