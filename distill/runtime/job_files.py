"""A job's files: the results so far, how far they are safe, and the names they take at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from distill.files.bad_rows import BadRow, bad_line
from distill.runtime.results import Results
from distill.runtime.vector_file import VectorFile
from distill.system import atomic
from distill.system.errors import DataError

#: How often what is written is made safe.
SAVE_SECONDS = 2.0


@dataclass(frozen=True)
class Job:
    """What is predicted, from where to where.

    Args:
        source: the input file, or ``-`` for standard input, which cannot be gone on with.
        out: the file of results: ``.csv``, or JSON Lines; ``.npy`` where ``vectors`` is set.
        column: the column with the text.
        pair_column: the column with the second text.
        keep: columns of the input that the results carry along.
        delimiter: what parts the fields of a table; ``None`` where its name and header tell.
        texts: whether the results carry the texts along.
        batch_size: rows computed at once.
        threads: threads that were asked for.
        vectors: the results are the rows' vectors alone, as one array.
        skip_bad: set rows that cannot be used aside, into ``OUT.bad.jsonl``.
        resume: go on with what was begun.
    """

    source: str
    out: Path
    column: str | None = None
    pair_column: str | None = None
    keep: tuple[str, ...] = ()
    delimiter: str | None = None
    texts: bool = True
    batch_size: int | None = None
    threads: int | None = None
    vectors: bool = False
    skip_bad: bool = False
    resume: bool = False

    @property
    def partial(self) -> Path:
        """The results so far."""
        return self.out.with_name(self.out.name + ".partial")

    @property
    def state(self) -> Path:
        """How far they are safe."""
        return self.out.with_name(self.out.name + ".partial.json")

    @property
    def bad(self) -> Path:
        """Rows that were set aside."""
        return self.out.with_suffix(".bad.jsonl")

    @property
    def bad_partial(self) -> Path:
        """The same so far."""
        return self.bad.with_name(self.bad.name + ".partial")


@dataclass
class Done:
    """How far a job is.

    Args:
        rows: rows with a prediction.
        bad: rows that were set aside.
        bytes: of the results.
        bad_bytes: of the rows set aside.
        columns: of a CSV file; ``None`` before a header is written.
        whole: everything is written; only names are to be changed.
    """

    rows: int = 0
    bad: int = 0
    bytes: int = 0
    bad_bytes: int = 0
    columns: list[str] | None = None
    whole: bool = False


class Writer:
    """Appends to the results and makes them safe now and then."""

    def __init__(self, job: Job, facts: dict[str, Any], done: Done) -> None:
        self._job = job
        self._facts = facts
        self._done = done
        self._waiting: list[bytes] = []
        #: What is wrong with the first bad row of this start, for errors.
        self.first_bad = ""
        self._files: contextlib.ExitStack = contextlib.ExitStack()
        self._saved = time.monotonic()
        self._out: IO[bytes]
        self._bad: IO[bytes] | None = None

    def __enter__(self) -> Writer:
        if not self._done.whole:
            self._out = self._files.enter_context(_cut(self._job.partial, self._done.bytes))
            if self._done.bad:
                self._open_bad()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            # A person's Ctrl-C or a mistake in row 900,000 costs nothing that is done.
            if kind is not None and self._done.rows and not self._done.whole:
                self.save()
        finally:
            self._files.close()

    def _open_bad(self) -> IO[bytes]:
        if self._bad is None:
            handle = _cut(self._job.bad_partial, self._done.bad_bytes)
            self._bad = self._files.enter_context(handle)
        return self._bad

    def set_aside(self, row: BadRow) -> None:
        """Keep a bad row until the window that it stands in is done."""
        self._waiting.append(bad_line(row).encode("utf-8"))
        self.first_bad = self.first_bad or f" The first: {row.place}: {row.reason}"

    @property
    def waiting(self) -> int:
        """How many bad rows are kept so."""
        return len(self._waiting)

    def write(self, results: Results | VectorFile, content: bytes, *, rows: int) -> None:
        """Append a window.

        Args:
            results: what made it.
            content: its bytes.
            rows: how many rows it has.
        """
        self._out.write(content)
        self.append_bad()
        self._done.rows += rows
        self._done.bytes += len(content)
        self._done.columns = results.columns
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def append_bad(self) -> None:
        """Append the bad rows that were told since the last window."""
        if self._waiting:
            lines = b"".join(self._waiting)
            self._open_bad().write(lines)
            self._done.bad += len(self._waiting)
            self._done.bad_bytes += len(lines)
            self._waiting = []

    def save(self) -> None:
        """Make what is written safe, and then say so, where it can be gone on with."""
        for file in (self._out, self._bad):
            if file is not None:
                file.flush()
                os.fsync(file.fileno())
        if "input" in self._facts:
            atomic.write_json(self._job.state, {**self._facts, "done": asdict(self._done)})
        self._saved = time.monotonic()

    def finish(self, results: Results | VectorFile) -> None:
        """Say that everything is there."""
        if not self._done.whole:
            self._out.flush()
            results.close(self._job.partial, self._done.rows)
            self._done.whole = True
            self.save()


def _cut(path: Path, size: int) -> IO[bytes]:
    """A file to append to, cut at what is safe."""
    file = path.open("ab")
    if file.tell() < size:
        file.close()
        raise DataError(f"{path}: shorter than it was; remove it to begin anew")
    file.truncate(size)
    return file


@contextlib.contextmanager
def held(job: Job) -> Iterator[None]:
    """Keep other processes from writing the same results; ended by the process's death too."""
    job.out.parent.mkdir(parents=True, exist_ok=True)
    lock = job.out.with_name(job.out.name + ".partial.lock")
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{job.partial}: another process is writing it") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def begun(job: Job, facts: dict[str, Any]) -> Done:
    """How far an earlier start came; nothing where there was none.

    Raises:
        DataError: an unfinished job lies there and this is not to go on with it, or was begun with
            something else.
    """
    if not job.state.is_file():
        remove(job.partial, job.bad_partial)
        return Done()
    try:
        content = json.loads(job.state.read_text(encoding="utf-8"))
        done = Done(**content["done"])
        theirs = {key: content.get(key) for key in ("schema", "bundle", "settings", "input")}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{job.state}: cannot be read ({error}); remove it") from error
    if not job.resume:
        raise DataError(
            f"{job.partial}: an unfinished job, {done.rows:,} rows done; go on with --resume, or "
            f"remove {job.state.name} to begin anew"
        )
    for key, what in (("input", "another input"), ("bundle", "another bundle")):
        if theirs[key] != facts.get(key):
            raise DataError(
                f"{job.state}: begun with {what} than this one; remove it to begin anew"
            )
    if theirs["settings"] != facts["settings"]:
        told = theirs["settings"] or {}
        changed = [
            f"{name} {told.get(name)!r}, now {value!r}"
            for name, value in facts["settings"].items()
            if told.get(name) != value
        ]
        raise DataError(
            f"{job.state}: begun with other settings ({', '.join(changed)}); give the same, or "
            "remove it to begin anew"
        )
    return done


def take_place(job: Job, done: Done) -> None:
    """Give the files their names; may be called again after a kill in its midst."""
    if job.bad_partial.is_file():
        job.bad_partial.replace(job.bad)
    elif not done.bad:
        job.bad.unlink(missing_ok=True)
    if job.partial.is_file():
        job.partial.chmod(0o644)
        job.partial.replace(job.out)
    remove(job.state)


def remove(*paths: Path) -> None:
    """Remove files, where they are there."""
    for path in paths:
        path.unlink(missing_ok=True)
