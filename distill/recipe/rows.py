"""How many training rows a recipe has and how long they are, where that can be told cheaply."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from distill.recipe.question_rows import count_windows
from distill.recipe.schema import Columns, DataConfig

#: Characters of a token, and tokens that padding to a multiple of 8 adds on average.
_CHARACTERS, _PADDING = 4.5, 3.5
_SPECIAL_TOKENS = 2
_LARGEST_READ = 1 << 28
#: Rows of a JSON lines file that their mean length is told from.
_LOOKED_AT = 500
#: Training rows and mean tokens of data sets that are not files: (path, subset).
_KNOWN_ROWS = {
    ("nyu-mll/glue", "cola"): (8_551, 11),
    ("nyu-mll/glue", "mnli"): (392_702, 39),
    ("nyu-mll/glue", "mrpc"): (3_668, 53),
    ("nyu-mll/glue", "qnli"): (104_743, 50),
    ("nyu-mll/glue", "qqp"): (363_846, 31),
    ("nyu-mll/glue", "rte"): (2_490, 70),
    ("nyu-mll/glue", "sst2"): (67_349, 13),
    ("docstrings", None): (27_700, 20),  # about: it depends on what is installed
}


@dataclass(frozen=True)
class Rows:
    """How many training rows there are, and how long.

    Args:
        count: rows.
        tokens: tokens of an average row, padding included.
    """

    count: int
    tokens: float


def count_rows(data: DataConfig) -> Rows | None:
    """Training rows, where they can be told cheaply: by lines, and of plain text by bytes."""
    if data.source == "files" and _is_squad(data):
        return _windows_of_file(data)
    if data.source == "files":
        counted = _rows_of_file(data) or _packed_rows(data)
    else:
        counted = _rows_by_name(data)
    if counted is None or counted.count < 1:
        return None
    count = min(counted.count, data.limit_train or counted.count)
    return Rows(count, min(counted.tokens + _PADDING, float(data.max_length)))


def _is_squad(data: DataConfig) -> bool:
    return isinstance(data.train, str) and data.train.removesuffix(".gz").endswith(".json")


def _windows_of_file(data: DataConfig) -> Rows | None:
    found = count_windows(
        Path(str(data.train)).expanduser(),
        characters=_CHARACTERS,
        max_length=data.max_length,
        limit=data.limit_train,
        largest=_LARGEST_READ,
    )
    return None if found is None else Rows(found[0], min(found[1] + _PADDING, data.max_length))


def _packed_rows(data: DataConfig) -> Rows | None:
    """Full rows of plain text, told from the files' sizes; patterns and other kinds are not."""
    given = [data.train] if isinstance(data.train, str) else data.train or []
    files: list[Path] = []
    for path in (Path(name).expanduser() for name in given):
        files += sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    if not files or any(file.suffix != ".txt" or not file.is_file() for file in files):
        return None
    tokens = sum(file.stat().st_size for file in files) / _CHARACTERS
    return Rows(max(1, round(tokens / data.max_length)), float(data.max_length))


def _rows_by_name(data: DataConfig) -> Rows | None:
    known = _KNOWN_ROWS.get((data.path or "", data.subset if data.source == "hub" else None))
    return Rows(*known) if known else None


def _rows_of_file(data: DataConfig) -> Rows | None:
    path = Path(data.train if isinstance(data.train, str) else "").expanduser()
    lines, size, start = 0, 0, b""
    try:
        if not path.name.removesuffix(".gz").endswith((".csv", ".tsv", ".jsonl")):
            return None
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while chunk := file.read(1 << 20):
                start = start or chunk
                lines += chunk.count(b"\n")
                size += len(chunk)
                if size > _LARGEST_READ:
                    return None
    except (OSError, EOFError, ValueError):
        return None  # told by the reader of the data
    characters = size / max(lines, 1)
    if ".jsonl" in path.name:
        characters = _characters(start, data.columns) or characters
    if data.validation is None:
        lines = round(0.9 * lines)  # a tenth is held out
    return Rows(lines, characters / _CHARACTERS + _SPECIAL_TOKENS)


def _characters(start: bytes, columns: Columns) -> float | None:
    """Mean characters of the texts of a JSON lines file, told from its first rows."""
    found: list[int] = []
    for line in start.splitlines()[:_LOOKED_AT]:
        try:
            row = json.loads(line)
            texts = [row[name] for name in (columns.text, columns.text_pair) if name]
            found.append(sum(map(len, texts)))
        except (ValueError, LookupError, TypeError):
            continue  # the end of what was read, or told by the reader of the data
    return sum(found) / len(found) if found else None
