"""What a teacher predicted that ran elsewhere: read from a file, matched to the examples, checked.

Legend: N examples, C outputs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from distill.data.reader import Reader, as_number
from distill.data.sources.columnar import read_parquet
from distill.data.sources.columns import stored
from distill.data.sources.files import read_rows
from distill.data.sources.table import Table, id_issues
from distill.data.split import Split
from distill.files.parquet import PARQUET
from distill.files.rows import CSV, JSONL, TSV, Rows, file_kind
from distill.recipe.schema import TeacherConfig
from distill.system.errors import DataError, listed, nearest

#: Probabilities below it count as this much, so that they have a logarithm.
FLOOR = 1e-6
#: How far probabilities may add up to something else than 1.
_SLACK = 1e-3
_NPY = ".npy"
#: The one column of an npy file.
_ARRAY = "its rows"


def add_targets(
    teacher: TeacherConfig,
    reader: Reader,
    splits: dict[str, Split],
    tables: Mapping[str, Table],
    labels: Sequence[str],
) -> dict[str, Split]:
    """The splits with the teacher's logits (or numbers, or vectors) in ``given``.

    The reader's ``notes`` get a sentence for each file.

    Raises:
        DataError: a file cannot be used, or an example's target where bad rows are refused.
    """
    for role, name in teacher.files.items():
        if role not in splits:
            held = "; the rows held out of data.train have theirs in teacher.targets.train"
            raise DataError(
                f"teacher.targets.{role}: there are no data.{role} rows with labels that it "
                f"could be for; leave it out{held * (role == 'validation')}"
            )
        rows = _TargetRows(teacher, reader, Path(name).expanduser(), tuple(labels))
        splits[role] = rows.onto(splits[role], tables[role])
    return splits


class _TargetRows:
    """One file of targets; ``labels`` are the task's, in the order of the outputs."""

    def __init__(
        self, teacher: TeacherConfig, reader: Reader, path: Path, labels: tuple[str, ...]
    ) -> None:
        self.teacher, self.reader, self.labels = teacher, reader, labels
        self.values: str = teacher.values or reader.task.targets[0]
        self.width: int | None = len(labels) or (1 if self.values == "scores" else None)
        self.key = None if file_kind(path) == _NPY else reader.columns.id
        self.table, self.columns = _read(path, lambda names: self._wanted(path, names), self.key)
        if self.columns == [*labels]:  # a key that only later lines have
            self._check_names(str(path), self.table.available)
        if self.key is not None:
            issues = id_issues(self.table, self.key)
            if issues:
                row = min(issues)
                raise DataError(f"{self.table.at(row)}: {issues[row]}; give each row one target")
        # A list has the order of the recipe's labels, an output the data's.
        self.order: npt.NDArray[np.int64] | None = None

    def onto(self, split: Split, table: Table) -> Split:
        role, notes, bad = split.name, self.reader.notes, self.reader.bad
        rows = self._matched(table)  # of the file, by the number of the data's row; -1: none
        numbers = np.arange(len(split)) if split.numbers is None else np.asarray(split.numbers)
        wanted = rows[numbers]
        issues: dict[int, str] = {}
        right = 0

        def logits() -> Iterator[npt.NDArray[np.float32]]:
            nonlocal right
            found = self.table.take(np.maximum(wanted, 0))
            columns = [found.columns[name] for name in self.columns]
            labels = split.labels if self.labels else [None] * len(split)
            for number, (at, label, *cells) in enumerate(
                zip(wanted.tolist(), labels, *columns, strict=True)
            ):
                try:
                    if at < 0:
                        raise ValueError(f"no target in {self.table.place}")
                    values = self._logits(self._numbers(cells, paired=split.pairs is not None))
                except ValueError as error:
                    there = f"its target ({self.table.at(at)}): " if at >= 0 else ""
                    issues[number] = f"{there}{error}"
                else:
                    right += isinstance(label, int) and int(values.argmax()) == label
                    yield values

        given = stored(logits(), pa.list_(pa.float32()))
        bad.sift(table.take(numbers), issues)
        kept = np.delete(np.arange(len(split)), sorted(issues))
        note = f"{role}: {len(kept):,} targets ({self.values}) from {self.table.place}"
        if self.labels and not self.reader.several and len(kept):
            note += f"; the largest is the row's label in {right / len(kept):.1%}"
        notes.append(note)
        left = replace(split, numbers=None)
        return replace(left.take(kept) if issues else left, given=given)

    def _matched(self, table: Table) -> npt.NDArray[np.int64]:
        """The file's row for each row of the data, (N,); -1 where there is none."""
        if self.key is None:
            if len(self.table) != len(table):
                how = (
                    "an npy file is matched by order"
                    if self.reader.columns.id is not None
                    else "name the column of both that they are matched by in data.columns.id"
                )
                raise DataError(
                    f"{self.table.place}: {len(self.table):,} targets for the {len(table):,} rows "
                    f"of {table.place}; each row needs one: {how}"
                )
            return np.arange(len(table))
        theirs, ours = (
            pa.array(map(str, one.column(self.key, "data.columns.id")), pa.large_string())
            for one in (self.table, table)
        )
        found: npt.NDArray[np.int64] = (
            pc.index_in(ours, value_set=theirs).fill_null(-1).to_numpy().astype(np.int64)
        )
        if len(found) and (found < 0).all():
            raise DataError(
                f"{self.table.place}: none of its ids ({theirs[0]}, ...) is one of {table.place} "
                f"({ours[0]}, ...); both are in column '{self.key}'"
            )
        return found

    def _wanted(self, path: Path, names: Sequence[str]) -> list[str]:
        named = self.teacher.column or self.values
        others = [name for name in names if name != self.key]
        if named in others:
            return [named]
        if self.teacher.column is not None:
            raise DataError(
                f"{path}: no column '{named}'; columns are {listed(names)}{nearest(named, names)}; "
                "choose one with teacher.column"
            )
        if self.labels and set(self.labels) & set(others):
            self._check_names(str(path), others)
            return [*self.labels]
        if len(others) == 1:
            return others
        raise DataError(
            f"{path}: no column '{named}'"
            + (f" and none of a label ({listed(self.labels)})" if self.labels else "")
            + f"; columns are {listed(names)}; name the one with the numbers in teacher.column"
        )

    def _check_names(self, place: str, names: Sequence[str]) -> None:
        """Refuse columns, or keys, that are no label's, and labels without one."""
        for name in names:
            if name != self.key and name not in self.labels:
                more = "" if self.key else " (or is it the id? name it in data.columns.id)"
                raise DataError(
                    f"{place}: '{name}' is no label; labels are {listed(self.labels)}"
                    f"{nearest(name, self.labels)}; leave other columns out, or put the numbers "
                    f"into one column and name it in teacher.column{more}"
                )
        if missing := [label for label in self.labels if label not in names]:
            raise DataError(f"{place}: no column for the label '{missing[0]}'")

    def _numbers(self, cells: Sequence[Any], *, paired: bool) -> npt.NDArray[np.float64]:
        values: Any = cells if len(self.columns) > 1 else cells[0]
        if isinstance(values, str) and values.lstrip()[:1] in ("[", "{"):
            values = json.loads(values)  # as a table writes a list; its error is a ValueError
        if isinstance(values, Mapping):
            if unknown := [name for name in values if name not in self.labels]:
                raise ValueError(
                    f"'{unknown[0]}' is no label{nearest(unknown[0], self.labels)}; labels are "
                    f"{listed(self.labels)}"
                )
            values = [values.get(label) for label in self.labels]
        elif len(self.columns) == 1 and self.labels:
            values = self._in_order(values)
        if values is None or isinstance(values, str | int | float):
            values = [values]
        if (
            self.values == "vectors"
            and paired
            and len(values) == 2
            and isinstance(values[0], list | tuple)
        ):
            values = [one for each in values for one in each]
        found = np.array([as_number(value) for value in values], dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(found))
        if len(bad):
            which = f" for '{self.labels[bad[0]]}'" if len(found) == len(self.labels) else ""
            raise ValueError(f"{values[bad[0]]!r}{which}, where a finite number is expected")
        width = self.width or len(found)
        if len(found) != width or (self.width is None and paired and len(found) % 2):
            wanted = "an even number, two vectors," if self.width is None else f"{width:,}"
            raise ValueError(f"{len(found):,} numbers, where {wanted} are expected")
        self.width = width
        return found

    def _in_order(self, values: Any) -> Any:
        if self.order is None:
            given = self.teacher.labels or self.reader.task.labels
            if given is None and not all(name.isdecimal() for name in self.labels):
                raise DataError(
                    f"{self.table.place}: a list of numbers has no names: give the labels in its "
                    f"order in teacher.labels, such as [{', '.join(self.labels)}]"
                )
            if given is not None and sorted(given) != sorted(self.labels):
                raise DataError(
                    f"teacher.labels: found {', '.join(given)}; the data's labels are "
                    f"{', '.join(self.labels)}"
                )
            self.order = np.array([(given or self.labels).index(name) for name in self.labels])
        if isinstance(values, list | tuple) and len(values) == len(self.labels):
            return [values[place] for place in self.order]
        return values

    def _logits(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """What a teacher's head would have given."""
        if self.values == "probabilities":
            odd = np.flatnonzero((numbers < 0) | (numbers > 1 + _SLACK))
            if len(odd):
                raise ValueError(
                    f"{numbers[odd[0]]:g} for '{self.labels[odd[0]]}' is no probability; of logits "
                    "say so: teacher.values: logits"
                )
            total = float(numbers.sum())
            if self.reader.several:
                inside = numbers.clip(FLOOR, 1 - FLOOR)
                numbers = np.log(inside / (1 - inside))
            elif abs(total - 1) > _SLACK:
                raise ValueError(f"the probabilities add up to {total:.6g} instead of 1")
            else:
                numbers = np.log(numbers.clip(min=FLOOR))
        found = numbers.astype(np.float32)
        if not math.isfinite(float(found.sum())):
            raise ValueError("a number too large for fp32")
        return found


def _read(
    path: Path, wanted: Callable[[Sequence[str]], list[str]], key: str | None
) -> tuple[Table, list[str]]:
    """A file's rows, and the columns with the numbers."""
    kind = file_kind(path)
    known = (CSV, TSV, JSONL, PARQUET, _NPY)
    if not path.is_file():
        raise DataError(f"teacher.targets: no file {path}")
    if kind not in known:
        raise DataError(f"teacher.targets: {path}: unknown kind of file; known: {', '.join(known)}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; it needs a target for each row")
    if kind == _NPY:
        return _read_array(path), [_ARRAY]
    if kind == PARQUET:
        names = list(read_parquet(path, []).available)
    elif kind == JSONL:
        first = next(iter(Rows(path, kind)), None)
        if first is not None and first.issue is not None:
            raise DataError(f"{path}:{first.line}: {first.issue}")
        names = list(first.values) if first is not None else []
    else:
        names = list(Rows(path, kind).columns)
    if key is not None and key not in names:
        raise DataError(
            f"{path}: no column '{key}' (data.columns.id), which rows are matched by; columns are "
            f"{listed(names)}{nearest(key, names)}"
        )
    columns = wanted(names)
    read = read_parquet if kind == PARQUET else read_rows
    return read(path, [*columns, *([key] if key else [])]), columns


def _read_array(path: Path) -> Table:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a whole npy file of numbers ({error})") from None
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2, 3) or not array.size:
        raise DataError(
            f"{path}: {array.dtype} of shape {array.shape}; a row of numbers for each example is "
            "expected"
        )
    rows = stored((np.atleast_1d(row).ravel() for row in array), pa.list_(pa.float64()))
    return Table(str(path), {_ARRAY: rows}, [_ARRAY])
