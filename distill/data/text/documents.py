"""Documents of unlabelled text, one after another, whatever they are read from.

A document is a list of lines. In text files a blank line or the file's end ends a document; in
JSON Lines and data sets each row is one. A document longer than :data:`LINES` lines is parted
there, so that none needs much memory and a book in one file can be shuffled and held out in parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.files.lines import Lines
from distill.files.rows import JSONL, FileRow, Rows, file_kind
from distill.system import digest
from distill.system.errors import DataError, listed

#: Lines after which a document is parted.
LINES = 100
#: Bytes after which a line is parted, at a space where there is one.
_LONGEST = 1 << 16
SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")

Document = list[str]


def find_files(names: str | Sequence[str], *, key: str) -> list[Path]:
    """The files that names stand for: files, folders (all that is below them) and patterns.

    ``key`` is the recipe's, for errors.

    Raises:
        DataError: a name stands for nothing, or for a kind of file that is not read.
    """
    found: dict[Path, None] = {}
    for name in [names] if isinstance(names, str) else names:
        path = Path(name).expanduser()
        if path.is_dir():
            files = [p for p in sorted(path.rglob("*")) if p.is_file() and _is_text(p)]
        elif path.is_file():
            files = [path]
        else:
            top = Path(path.anchor) if path.is_absolute() else Path()
            files = [p for p in sorted(top.glob(str(path.relative_to(top)))) if p.is_file()]
        if not files:
            raise DataError(f"{key}: no file {path}; write a {listed(SUFFIXES)} file, or a folder")
        wrong = [p for p in files if not _is_text(p)]
        if wrong:
            raise DataError(
                f"{key}: {wrong[0]}: unknown kind of file; text is read from {listed(SUFFIXES)}"
            )
        found |= dict.fromkeys(files)
    return list(found)


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class FileSource:
    """Documents in files, in their order; ``column`` is the key of the text in JSON Lines."""

    files: list[Path]
    column: str = "text"

    @property
    def place(self) -> str:
        """The first file, and how many more there are."""
        more = len(self.files) - 1
        return f"{self.files[0]}" + (f" and {more:,} more" if more else "")

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self.files)

    def digest(self) -> str:
        """SHA-256 (hex) of the files' bytes and of how they are read."""
        kinds = [file_kind(path) for path in self.files]
        column = self.column if JSONL in kinds else None
        return digest.of_json([LINES, column, kinds, [digest.of_file(p) for p in self.files]])

    def documents(self) -> Iterator[tuple[int, Document]]:
        """The documents with how many bytes were read up to each; every iteration starts anew.

        None goes on from one file into the next.
        """
        before = 0
        for path in self.files:
            for at, document in self._of_file(path):
                yield before + at, document
            before += path.stat().st_size

    def _of_file(self, path: Path) -> Iterator[tuple[int, Document]]:
        if file_kind(path) == JSONL:
            rows = Rows(path, JSONL)
            for row in rows:
                for part in in_parts(self._text(row, f"{path}:{row.line}")):
                    yield rows.lines.position, part
            return
        document: Document = []
        lines = Lines(path, longest=_LONGEST)
        for line in lines.good():
            text = line.text.strip()
            if text:
                document.append(text)
            if document and (not text or len(document) == LINES):
                yield lines.position, document
                document = []
        if document:
            yield lines.position, document

    def _text(self, row: FileRow, place: str) -> str:
        if row.issue is not None:
            raise DataError(f"{place}: {row.issue}")
        text = row.values.get(self.column)
        if not isinstance(text, str):
            raise DataError(
                f"{place}: no text under '{self.column}'; its keys are {listed(row.values)}; name "
                "it in data.columns.text"
            )
        return text


@dataclass(frozen=True)
class RowSource:
    """Documents that are rows of a data set."""

    place: str  # what messages call it
    rows: Iterable[Any]  # the texts; iterated over once or more
    fingerprint: str  # stands for their content
    size: int  # how many there are

    def digest(self) -> str:
        """SHA-256 (hex) of the fingerprint and of how rows are read."""
        return digest.of_json([LINES, self.fingerprint])

    def documents(self) -> Iterator[tuple[int, Document]]:
        """One document for each row, parted where it is long, with how many rows were read."""
        for number, text in enumerate(self.rows, start=1):
            if not isinstance(text, str):
                raise DataError(f"{self.place}: row {number} holds no text")
            for document in in_parts(text):
                yield number, document


#: Where documents come from.
TextSource = FileSource | RowSource


def in_parts(text: str) -> Iterator[Document]:
    """A row's text as documents of at most :data:`LINES` lines; none where it is blank."""
    lines = [line for line in map(str.strip, re.split(r"[\r\n]+", text)) if line]
    for start in range(0, len(lines), LINES):
        yield lines[start : start + LINES]
