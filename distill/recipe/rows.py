"""How many training rows a recipe has and how long they are, where that can be told cheaply."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from distill.recipe.file_rows import kind_of, rows_of, text_of
from distill.recipe.question_rows import count_windows
from distill.recipe.schema import (
    Columns,
    DataConfig,
    NerTask,
    QuestionTask,
    TextTask,
    VectorsTask,
)
from distill.recipe.schema.task import Task

#: Characters of a token, and tokens that padding to a multiple of 8 adds on average.
_CHARACTERS, _PADDING = 4.5, 3.5
_SPECIAL_TOKENS = 2
#: Bytes from which on a SQuAD file, which is one value, is not read.
_LARGEST_READ = 1 << 28
#: Training rows and mean tokens of data sets that are not files: (path, subset).
_KNOWN_ROWS = {
    ("nyu-mll/glue", "cola"): (8_551, 11),
    ("nyu-mll/glue", "mnli"): (392_702, 39),
    ("nyu-mll/glue", "mrpc"): (3_668, 53),
    ("nyu-mll/glue", "qnli"): (104_743, 50),
    ("nyu-mll/glue", "qqp"): (363_846, 31),
    ("nyu-mll/glue", "rte"): (2_490, 70),
    ("nyu-mll/glue", "sst2"): (67_349, 13),
    ("nyu-mll/glue", "stsb"): (5_749, 28),
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


def count_rows(data: DataConfig, task: Task) -> Rows | None:
    """What a recipe trains on, where it can be told cheaply; ``None`` elsewhere.

    Of plain text these are packed rows, of questions windows, of pairs that get a vector each
    both texts. Files are read in part and never held.
    """
    if data.source != "files":
        counted = _rows_by_name(data)
    elif isinstance(task, TextTask):
        counted = _packed_rows(data)
    elif isinstance(task, QuestionTask) and _is_squad(data):
        return _windows_of_file(data)
    else:
        counted = _rows_of_file(data, _columns(data.columns, task), isinstance(task, NerTask))
    if counted is None or counted.count < 1:
        return None
    rows = Rows(min(counted.count, data.limit_train or counted.count), counted.tokens)
    if isinstance(task, VectorsTask) and data.columns.text_pair is not None:
        # Each is read by itself, so of the pair's special tokens (3) one more is needed.
        rows = Rows(2 * rows.count, (rows.tokens + 1) / 2)
    return replace(rows, tokens=min(rows.tokens + _PADDING, float(data.max_length)))


def _columns(columns: Columns, task: Task) -> list[str]:
    """The columns whose texts a model reads."""
    if isinstance(task, NerTask):
        return [columns.tokens]
    if isinstance(task, QuestionTask):
        return [columns.question, columns.context]
    return [name for name in (columns.text, columns.text_pair) if name is not None]


def _is_squad(data: DataConfig) -> bool:
    return isinstance(data.train, str) and kind_of(Path(data.train)) == ".json"


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
    """Full rows of unlabelled text, told from how much of it there is."""
    given = [data.train] if isinstance(data.train, str) else data.train or []
    files = [file for name in given for file in _files(Path(name).expanduser())]
    found = [text_of(file, data.columns.text) for file in files]
    known = [characters for characters in found if characters is not None]
    if not known or len(known) < len(found):
        return None
    tokens = sum(known) / _CHARACTERS
    return Rows(max(1, round(tokens / data.max_length)), float(data.max_length))


def _files(path: Path) -> list[Path]:
    """The text files that a path, a folder or a pattern stands for."""
    if path.is_dir():
        below = sorted(path.rglob("*"))
        return [file for file in below if file.is_file() and kind_of(file) in (".txt", ".jsonl")]
    if path.is_file():
        return [path]
    top = Path(path.anchor) if path.is_absolute() else Path()
    return [file for file in sorted(top.glob(str(path.relative_to(top)))) if file.is_file()]


def _rows_by_name(data: DataConfig) -> Rows | None:
    known = _KNOWN_ROWS.get((data.path or "", data.subset if data.source == "hub" else None))
    return Rows(*known) if known else None


def _rows_of_file(data: DataConfig, columns: list[str], tagged: bool) -> Rows | None:
    path = Path(data.train if isinstance(data.train, str) else "").expanduser()
    found = rows_of(path, columns, tagged=tagged)
    if found is None:
        return None
    # A tenth is held out where no rows are named to choose by.
    count = found.count if data.validation is not None else round(0.9 * found.count)
    return Rows(count, found.characters / _CHARACTERS + _SPECIAL_TOKENS)
