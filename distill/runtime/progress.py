"""The files of a job as they grow, and how far they are safe.

The results grow in ``OUT.partial``. Beside it ``OUT.partial.json`` says how far they are safe: how
many rows were read, how many bytes written, of which input, with which bundle and settings. A job
that goes on cuts the file there and skips the rows that are done. The file takes its name when it
is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from distill.files.bad_rows import BadRow, bad_line
from distill.system import atomic
from distill.system.errors import DataError

if TYPE_CHECKING:
    from distill.runtime.job import Job
    from distill.runtime.results import Results
    from distill.runtime.rows import Row

#: How often what is written is made safe.
SAVE_SECONDS = 2.0
# Rows after which more bad ones than good ones mean that it is not the rows that are wrong.
_LOOKED_AT = 1000


class MostlyBadError(DataError):
    """Another file, or another column, is meant."""


class HeldError(DataError):
    """Another process writes the same results."""


@dataclass
class Done:
    """How far a job is."""

    rows: int = 0  # rows with a prediction
    bad: int = 0  # rows that were set aside
    bytes: int = 0  # of the results
    bad_bytes: int = 0  # of the rows set aside
    columns: list[str] | None = None  # of a CSV file; ``None`` before a header is written
    whole: bool = False  # everything is written; only names are to be changed


class Progress:
    """Appends to a job's files, and makes what is written safe now and then.

    Args:
        facts: what must be the same for it to be gone on with; without an ``input`` it cannot be.
    """

    def __init__(self, job: Job, results: Results, facts: dict[str, Any]) -> None:
        self.done = begun(job, facts)
        results.columns = self.done.columns
        self._job, self._results, self._facts = job, results, facts
        self._first_bad = ""
        self._files = contextlib.ExitStack()
        self._saved = time.monotonic()
        self._out: IO[bytes]
        self._bad_out: IO[bytes] | None = None

    def __enter__(self) -> Progress:
        self._out = self._files.enter_context(_cut(self._job.partial, self.done.bytes))
        if self._job.skip_bad or self.done.bad:
            bad = _cut(self._job.bad_partial, self.done.bad_bytes)
            self._bad_out = self._files.enter_context(bad)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # A person's Ctrl-C or an error in row 900,000 costs nothing that is done.
            if kind is not None and self.done.rows and not self.done.whole:
                self._save()
        finally:
            self._files.close()

    def add(self, good: Sequence[tuple[Row, Any]], bad: Sequence[BadRow]) -> None:
        """Append a window: its rows with their predictions, and those that cannot be used."""
        if good:
            rows, predictions = zip(*good, strict=True)
            self._out.write(self._results.lines(rows, predictions))
        for row in bad if self._bad_out is not None else ():
            self._first_bad = self._first_bad or f" The first: {row.place}: {row.reason}"
            self._bad_out.write(bad_line(row).encode("utf-8"))  # type: ignore[union-attr]
        self.done = Done(
            rows=self.done.rows + len(good),
            bad=self.done.bad + len(bad),
            bytes=self._out.tell(),
            bad_bytes=0 if self._bad_out is None else self._bad_out.tell(),
            columns=self._results.columns,
        )
        self._check_share(_LOOKED_AT)
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._save()

    def finish(self) -> None:
        """Say that everything is there."""
        # A shard may hold the few bad rows of a file.
        self._check_share(0 if self._job.rows is None else _LOOKED_AT)
        self.done = replace(self.done, whole=True)
        self._save()

    def _check_share(self, at_least: int) -> None:
        """Refuse more bad rows than good ones, once there are ``at_least`` rows."""
        read = self.done.bad + self.done.rows
        if self.done.bad > self.done.rows and read >= at_least:
            raise MostlyBadError(
                f"{self._job.name}: {self.done.bad:,} of {read:,} rows are bad, more than half; is "
                f"it the right file, with the right --column?{self._first_bad}"
            )

    def _save(self) -> None:
        """Make what is written safe, and then say so, where it can be gone on with."""
        for file in (self._out, self._bad_out):
            if file is not None:
                file.flush()
                os.fsync(file.fileno())
        if "input" in self._facts:
            atomic.write_json(self._job.state, {**self._facts, "done": asdict(self.done)})
        self._saved = time.monotonic()


def _cut(path: Path, size: int) -> IO[bytes]:
    """A file to append to, cut at what is safe."""
    file = path.open("ab")
    if file.tell() < size:
        file.close()
        raise DataError(f"{path}: shorter than it was; remove it to begin anew")
    file.truncate(size)
    return file


@contextlib.contextmanager
def held(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes from writing the same file; ended by the process's death too.

    Raises:
        HeldError: another process holds it, and this one does not ``wait``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock")
    while True:
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise HeldError(f"{path}: another process is writing it") from None
            # Whoever held it before removed it: what is locked must be what lies there.
            if not _is_at(file, lock):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def begun(job: Job, facts: dict[str, Any]) -> Done:
    """How far an earlier start came; nothing where there was none.

    Raises:
        DataError: an unfinished job lies there and this is not to go on with it, or was begun with
            something else.
    """
    if not job.state.is_file():
        remove(job.partial, job.bad_partial)
        return Done()
    content = read_facts(job.state)
    try:
        done = Done(**content["done"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{job.state}: cannot be read ({error}); remove it") from error
    if not job.resume:
        raise DataError(
            f"{job.partial}: an unfinished job, {done.rows:,} rows done; go on with --resume, or "
            f"remove {job.state.name} to begin anew"
        )
    if other := difference(content, facts):
        raise DataError(f"{job.state}: begun with {other}, or remove it to begin anew")
    return done


def read_facts(path: Path) -> dict[str, Any]:
    """What a job was begun with.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {**content, "settings": dict(content["settings"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it") from error


def difference(theirs: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """What a job was begun with that this one has not, in words; empty where there is nothing."""
    for key, what in (("input", "another input"), ("bundle", "another bundle")):
        if theirs.get(key) != facts.get(key):
            return f"{what} than this one; give the same"
    old = theirs["settings"]
    changed = [
        f"{name} {old.get(name)!r}, now {value!r}"
        for name, value in facts["settings"].items()
        if old.get(name) != value
    ]
    return f"other settings ({', '.join(changed)}); give the same" if changed else ""


def take_place(job: Job, done: Done, results: Results) -> None:
    """Give the files their names; may be called again after a kill in its midst."""
    if not done.bad:
        remove(job.bad, job.bad_partial)
    elif job.bad_partial.is_file():
        job.bad_partial.replace(job.bad)
    if job.partial.is_file():
        results.place(job.partial, job.out, done.rows)
    remove(job.state)


def remove(*paths: Path) -> None:
    """Remove files, where they are there."""
    for path in paths:
        path.unlink(missing_ok=True)
