"""Which files a job reads: names, patterns and folders; and what identifies them."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.files.lines import STDIN, require_file
from distill.files.parquet import PARQUET
from distill.files.rows import CSV, JSONL, TSV, file_kind
from distill.runtime.rows import Wanted, count_rows
from distill.system import digest
from distill.system.errors import DataError

#: Files of a folder that are read; others (notes, licences) are not.
_DATA = (PARQUET, JSONL, ".json", CSV, TSV, ".txt")


@dataclass(frozen=True)
class Input:
    """A file that a job reads."""

    file: str
    bytes: int
    modified: int  # when it was changed, in nanoseconds
    sha256: str
    rows: int  # how many examples it has, those too that cannot be used


def find_files(given: Sequence[str]) -> tuple[str, ...]:
    """The files that names, patterns (``part-*.parquet``) and folders stand for.

    The files of a pattern or a folder come in the order of their names. Of a folder, and of those
    in it, files are read whose names say that they hold rows and do not begin with ``_`` or ``.``.
    ``-`` alone is standard input.

    Raises:
        DataError: a pattern matches nothing, a folder holds no such file, or a file comes twice.
    """
    found = [file for one in given for file in _files(one)]
    if STDIN in found and len(found) > 1:
        raise DataError("standard input (-) is read alone; name it or files, not both")
    seen: set[Path] = set()
    for file in found:
        path = Path(file).resolve()
        if path in seen:
            raise DataError(f"{file}: named twice by --file; each file is read once")
        seen.add(path)
    return tuple(found)


def _files(one: str) -> list[str]:
    path = Path(one)
    if path.is_dir():
        return _of_folder(path)
    if path.exists() or one == STDIN or not glob.has_magic(one):
        return [one]
    matches = sorted(glob.glob(one, recursive=True))  # noqa: PTH207 (it may begin at the root)
    if not matches:
        raise DataError(f"{one}: matches no file")
    return [file for match in matches for file in _files(match)]


def _of_folder(folder: Path) -> list[str]:
    files = [
        str(path)
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(("_", ".")) for part in path.relative_to(folder).parts)
        and file_kind(path) in _DATA
        and path.is_file()
    ]
    if not files:
        raise DataError(f"{folder}: a folder without files to read ({', '.join(_DATA)})")
    return files


def read_inputs(
    files: Sequence[str], wanted: Wanted, known: Sequence[Input] = ()
) -> tuple[Input, ...]:
    """Read what identifies each file, and count its rows.

    Of ``known``, what was read before, a file that was not touched since is not read again.

    Raises:
        DataError: a file is missing or cannot be used.
    """
    before = {(one.file, one.bytes, one.modified): one for one in known}
    found = []
    for file in files:
        path = Path(file)
        require_file(path)
        facts = path.stat()
        key = (file, facts.st_size, facts.st_mtime_ns)
        one = before.get(key)
        if one is None:
            one = Input(*key, digest.of_file(path), count_rows(file, wanted))
        found.append(one)
    return tuple(found)
