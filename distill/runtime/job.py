"""Predictions for a file of any size: streamed, and gone on with after a kill.

The results grow in ``OUT.partial``. Beside it ``OUT.partial.json`` says how far they are safe: how
many rows were read, how many bytes written, of which input, with which bundle and settings. A job
that goes on cuts the file there and skips the rows that are done. Rows are computed in windows that
begin at the same row whether a job was stopped or not, so that the results are the same to the
byte: what a model computes in int8 may depend on the rows that share its batch.

The file takes its name when it is whole.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from distill.files.bad_rows import BadRow, BadRowError
from distill.files.lines import STDIN
from distill.runtime.job_facts import WINDOW, Predictor, job_facts, look_at
from distill.runtime.job_files import Done, Job, Writer, begun, held, remove, take_place
from distill.runtime.results import Results
from distill.runtime.rows import Row, read_rows
from distill.runtime.vector_file import VectorFile
from distill.system.errors import DataError

# Rows after which more bad ones than good ones mean that it is not the rows that are wrong.
_LOOKED_AT = 1000


class _MostlyBadError(DataError):
    """Another file, or another column, is meant."""


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
    model: Predictor, job: Job, *, moved: Callable[[int, int | None], None] = lambda *_: None
) -> Report:
    """Predict for every row of a file, in its order.

    Args:
        model: a loaded bundle.
        job: what is predicted.
        moved: told how many rows are done, and how many there are about, where that is known.

    Raises:
        DataError: the input cannot be used, is not what the job was begun with, or an unfinished
            job lies at the place of the results; vectors are wanted of a bundle without any.
    """
    results = _results(model, job)
    if job.source == STDIN and job.resume:
        raise DataError("standard input cannot be read again; --resume needs a --file")
    found = None if job.source == STDIN else look_at(job.source)
    if found is not None and job.out.is_file() and job.out.samefile(job.source):
        raise DataError(f"{job.out}: is the input too; name another file")
    facts = job_facts(model, job, found)
    about = None if found is None else found.rows
    notes: list[str] = []
    with held(job):
        done = begun(job, facts)
        results.columns = done.columns
        start, before = time.monotonic(), done.rows
        try:
            with Writer(job, facts, done) as writer:
                if not done.whole:
                    moved(done.rows, about)
                    for rows in _windows(job, done, writer, notes):
                        content = _computed(model, job, results, rows)
                        writer.write(results, content, rows=len(rows))
                        _check_share(job, done, writer, at_least=_LOOKED_AT)
                        moved(done.rows, about)
                    writer.append_bad()
                    _check_share(job, done, writer)
                writer.finish(results)
        except BaseException as error:
            # Nothing that would be worth going on with.
            if not done.rows or found is None or isinstance(error, _MostlyBadError):
                remove(job.partial, job.bad_partial, job.state)
            raise
        take_place(job, done)
    return Report(done.rows, done.bad, before, time.monotonic() - start, tuple(notes))


def _results(model: Predictor, job: Job) -> Results | VectorFile:
    if not job.vectors:
        return Results(job.out, texts=job.texts)
    if not model.decoder.gives_vectors:
        raise DataError(
            f"{model.manifest.folder}: a bundle for {model.manifest.task}, which gives no vectors; "
            "predict into a .jsonl or .csv file"
        )
    return VectorFile(job.out, model)


def _computed(
    model: Predictor, job: Job, results: Results | VectorFile, rows: Sequence[Row]
) -> bytes:
    """What the results hold of a window."""
    texts = [row.text for row in rows]
    if isinstance(results, VectorFile):
        return results.content(texts, batch_size=job.batch_size)
    pairs = [row.pair or "" for row in rows] if job.pair_column is not None else None
    return results.lines(rows, model.predict(texts, pairs, batch_size=job.batch_size))


def _windows(job: Job, done: Done, writer: Writer, notes: list[str]) -> Iterator[list[Row]]:
    """The rows that are not done yet, a window at a time; bad ones go to the writer."""
    bad_before = itertools.count()

    def set_aside(row: BadRow) -> None:
        if next(bad_before) >= done_bad:
            writer.set_aside(row)
            if writer.waiting >= _LOOKED_AT:  # they are not held either
                writer.append_bad()
                _check_share(job, done, writer, under_way=WINDOW)

    done_bad = done.bad
    try:
        rows = read_rows(
            job.source,
            column=job.column,
            pair_column=job.pair_column,
            keep=job.keep,
            delimiter=job.delimiter,
            on_bad=set_aside if job.skip_bad else None,
            on_note=notes.append,
        )
        for _ in itertools.islice(rows, done.rows):
            pass
        while window := list(itertools.islice(rows, WINDOW)):
            yield window
    except DataError as error:
        if job.skip_bad or job.source == STDIN or not isinstance(error, BadRowError):
            raise
        again = " --resume" if done.rows else ""
        raise DataError(f"{error}; or set bad rows aside: --on-bad-row skip{again}") from error


def _check_share(
    job: Job, done: Done, writer: Writer, *, at_least: int = 0, under_way: int = 0
) -> None:
    """Refuse more bad rows than good ones.

    Args:
        job: what is predicted.
        done: how far it is.
        writer: knows the first bad row.
        at_least: look only once there are so many rows.
        under_way: good rows that may have been read and are not counted yet.

    Raises:
        _MostlyBadError: most rows are bad.
    """
    if done.bad > done.rows + under_way and done.bad + done.rows >= at_least:
        raise _MostlyBadError(
            f"{job.source}: {done.bad:,} of {done.bad + done.rows:,} rows are bad, more than half; "
            f"is it the right file, with the right --column?{writer.first_bad}"
        )
