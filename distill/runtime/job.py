"""Predictions for a file of any size: streamed, and gone on with after a kill.

The results grow in ``OUT.partial``. Beside it ``OUT.partial.json`` says how far they are safe: how
many rows were read, how many bytes written, of which input, with which bundle and settings. A job
that goes on cuts the file there and skips the rows that are done. Rows are computed in windows that
begin at the same row whether a job was stopped or not, so that the results are the same to the
byte: what a model computes in int8 may depend on the rows that share its batch.

The file takes its name when it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from distill.files.bad_rows import BadRow, BadRowError, bad_line
from distill.files.lines import NOT_GZIP, STDIN, not_gzip, opened
from distill.files.rows import CSV, TSV, file_kind
from distill.runtime.manifest import MANIFEST
from distill.runtime.results import Results, VectorFile
from distill.runtime.rows import Row, read_rows
from distill.system import atomic, digest
from distill.system.errors import DataError

if TYPE_CHECKING:
    from distill.runtime.model import BundleModel

#: Rows that are sorted by length and computed together: enough to pad little, few enough that the
#: memory does not depend on the file.
WINDOW = 1024
#: How often what is written is made safe.
SAVE_SECONDS = 2.0
# Rows after which more bad ones than good ones mean that it is not the rows that are wrong.
_LOOKED_AT = 1000
_CHUNK = 1 << 20


class _MostlyBadError(DataError):
    """Another file, or another column, is meant."""


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


@dataclass(frozen=True)
class Report:
    """What came of a job.

    Args:
        rows: rows with a prediction, those of earlier starts too.
        bad: rows that were set aside.
        before: rows that were done before this start.
        seconds: what this start took.
        notes: what a reader of the results should know about the input.
    """

    rows: int
    bad: int
    before: int
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def per_second(self) -> float:
        """Rows per second of this start."""
        return (self.rows - self.before) / max(self.seconds, 1e-9)


def run_job(
    model: BundleModel, job: Job, *, moved: Callable[[int, int | None], None] = lambda *_: None
) -> Report:
    """Predict for every row of a file, in its order.

    Args:
        model: a loaded bundle.
        job: what is predicted.
        moved: called with how many rows are done, and about how many there are, where known.

    Raises:
        DataError: the input cannot be used, is not what the job was begun with, or an unfinished
            job lies at the place of the results; vectors are wanted of a bundle without any.
    """
    results = _results(model, job)
    facts, about = _facts(model, job)
    notes: list[str] = []
    with held(job):
        progress = _Progress(job, facts, _begun(job, facts))
        results.columns = progress.done.columns
        start, before = time.monotonic(), progress.done.rows
        try:
            if not progress.done.whole:
                with progress:
                    moved(before, about)
                    for rows in _windows(job, progress, notes.append):
                        progress.add(_computed(model, job, results, rows), len(rows), results)
                        moved(progress.done.rows, about)
                    progress.finish(results)
        except BaseException as error:
            # Nothing that would be worth going on with.
            resumable = progress.done.rows and job.source != STDIN
            if not resumable or isinstance(error, _MostlyBadError):
                _remove(job.partial, job.bad_partial, job.state)
            raise
        take_place(job, progress.done)
    done = progress.done
    return Report(done.rows, done.bad, before, time.monotonic() - start, tuple(notes))


def _results(model: BundleModel, job: Job) -> Results | VectorFile:
    if not job.vectors:
        return Results(job.out, texts=job.texts)
    if not model.decoder.gives_vectors:
        raise DataError(
            f"{model.manifest.folder}: a bundle for {model.manifest.task}, which gives no vectors; "
            "predict into a .jsonl or .csv file"
        )
    return VectorFile(job.out, model)


def _computed(
    model: BundleModel, job: Job, results: Results | VectorFile, rows: Sequence[Row]
) -> bytes:
    """What the results hold of a window."""
    texts = [row.text for row in rows]
    if isinstance(results, VectorFile):
        return results.content(texts, batch_size=job.batch_size)
    pairs = [row.pair or "" for row in rows] if job.pair_column is not None else None
    return results.lines(rows, model.predict(texts, pairs, batch_size=job.batch_size))


def _windows(job: Job, progress: _Progress, on_note: Callable[[str], None]) -> Iterator[list[Row]]:
    """The rows that are not done yet, a window at a time; bad ones are set aside."""
    done = progress.done.rows
    try:
        rows = read_rows(
            job.source,
            column=job.column,
            pair_column=job.pair_column,
            keep=job.keep,
            delimiter=job.delimiter,
            on_bad=progress.set_aside if job.skip_bad else None,
            on_note=on_note,
        )
        for _ in itertools.islice(rows, done):
            pass
        while window := list(itertools.islice(rows, WINDOW)):
            yield window
    except BadRowError as error:
        if job.skip_bad or job.source == STDIN:
            raise
        again = " --resume" if progress.done.rows else ""
        raise DataError(f"{error}; or set bad rows aside: --on-bad-row skip{again}") from error


class _Progress:
    """Appends to a job's files, and makes what is written safe now and then.

    ``done`` is how far the last whole window came; rows that were set aside since are not in it.
    """

    def __init__(self, job: Job, facts: dict[str, Any], done: Done) -> None:
        self.done = done
        self._job, self._facts = job, facts
        self._bad_before, self._bad = done.bad, 0
        self._first_bad = ""
        self._files = contextlib.ExitStack()
        self._saved = time.monotonic()
        self._out: IO[bytes]
        self._bad_out: IO[bytes] | None = None

    def __enter__(self) -> _Progress:
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

    def set_aside(self, row: BadRow) -> None:
        """Write a row that cannot be used into the file of such rows, unless it stands there."""
        self._bad += 1
        if self._bad <= self._bad_before or self._bad_out is None:
            return
        self._first_bad = self._first_bad or f" The first: {row.place}: {row.reason}"
        self._bad_out.write(bad_line(row).encode("utf-8"))
        self._check_share(self.done.rows + WINDOW)  # a window may have been read and not counted

    def add(self, content: bytes, rows: int, results: Results | VectorFile) -> None:
        """Append a window.

        Args:
            content: its bytes.
            rows: how many rows it has.
            results: what made it.
        """
        self._out.write(content)
        self._count(rows, results)
        self._check_share(self.done.rows)
        if time.monotonic() - self._saved >= SAVE_SECONDS:
            self._save()

    def finish(self, results: Results | VectorFile) -> None:
        """Say that everything is there."""
        self._count(0, results)
        self._check_share(self.done.rows, at_least=0)
        self._out.flush()
        results.close(self._job.partial, self.done.rows)
        self.done = replace(self.done, whole=True)
        self._save()

    def _count(self, rows: int, results: Results | VectorFile) -> None:
        self.done = Done(
            rows=self.done.rows + rows,
            bad=max(self._bad, self._bad_before),
            bytes=self._out.tell(),
            bad_bytes=0 if self._bad_out is None else self._bad_out.tell(),
            columns=results.columns,
        )

    def _check_share(self, good: int, at_least: int = _LOOKED_AT) -> None:
        """Refuse more bad rows than good ones, once there are ``at_least`` rows."""
        if self._bad > good and self._bad + self.done.rows >= at_least:
            raise _MostlyBadError(
                f"{self._job.source}: {self._bad:,} of {self._bad + self.done.rows:,} rows are "
                "bad, more than half; is it the right file, with the right --column?"
                f"{self._first_bad}"
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


def _begun(job: Job, facts: dict[str, Any]) -> Done:
    """How far an earlier start came; nothing where there was none.

    Raises:
        DataError: an unfinished job lies there and this is not to go on with it, or was begun with
            something else.
    """
    if not job.state.is_file():
        _remove(job.partial, job.bad_partial)
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
        old = theirs["settings"] or {}
        changed = [
            f"{name} {old.get(name)!r}, now {value!r}"
            for name, value in facts["settings"].items()
            if old.get(name) != value
        ]
        raise DataError(
            f"{job.state}: begun with other settings ({', '.join(changed)}); give the same, or "
            "remove it to begin anew"
        )
    return done


def take_place(job: Job, done: Done) -> None:
    """Give the files their names; may be called again after a kill in its midst."""
    if not done.bad:
        _remove(job.bad, job.bad_partial)
    elif job.bad_partial.is_file():
        job.bad_partial.replace(job.bad)
    if job.partial.is_file():
        job.partial.chmod(0o644)
        job.partial.replace(job.out)
    _remove(job.state)


def _remove(*paths: Path) -> None:
    """Remove files, where they are there."""
    for path in paths:
        path.unlink(missing_ok=True)


def _facts(model: BundleModel, job: Job) -> tuple[dict[str, Any], int | None]:
    """What must be the same for a job to be gone on with, and about how many rows there are.

    Standard input cannot be read twice: of it there is no ``input`` and no number.

    Raises:
        DataError: the input is missing, a damaged gzip file, or the file of results.
    """
    settings = asdict(job) | {"format": model.format, "window": WINDOW}
    for name in ("source", "out", "skip_bad", "resume"):
        del settings[name]
    settings["keep"] = list(job.keep)  # as JSON gives it back
    facts = {"schema": 1, "bundle": bundle_digest(model), "settings": settings}
    if job.source == STDIN:
        if job.resume:
            raise DataError("standard input cannot be read again; --resume needs a --file")
        return facts, None
    rows, path = _count_rows(job.source), Path(job.source)
    if job.out.is_file() and job.out.samefile(path):
        raise DataError(f"{job.out}: is the input too; name another file")
    input_file = {"bytes": path.stat().st_size, "sha256": digest.of_file(path)}
    return facts | {"input": input_file}, rows


def _count_rows(source: str) -> int:
    """The lines of a file, about its rows; the header of a table is none of them."""
    lines = 0
    try:
        with opened(source) as (_, file):
            while chunk := file.read(_CHUNK):
                lines += chunk.count(b"\n")
    except NOT_GZIP as error:
        raise not_gzip(source, error) from error
    return max(lines - (file_kind(source) in (CSV, TSV)), 1)


def bundle_digest(model: BundleModel) -> str:
    """SHA-256 (hex) of what a bundle's predictions depend on; measured numbers do not count."""
    manifest = model.manifest
    entry = manifest.formats[model.format]
    files = [manifest.folder / str(one["file"]) for one in (entry, entry.get("weights")) if one]
    files += [manifest.folder / name for name in ("tokenizer.json", "tokenizer_config.json")]
    content = json.loads((manifest.folder / MANIFEST).read_text(encoding="utf-8"))
    kept = {key: value for key, value in content.items() if key not in ("numbers", "formats")}
    return digest.of_json([kept, [digest.of_file(path) for path in files if path.is_file()]])
