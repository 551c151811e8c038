"""A job whose results are a folder of shards, done by one process or by many.

``DIR`` holds ``part-00000-of-00007.jsonl`` and so on, the rows of all input files in their order.
``_job.json`` says what the shards are of; it is written before the first of them. A shard takes its
name when it is whole, and is not done again; one that was stopped is gone on with. Processes that
do the same job at the same time share its shards. Whichever completes the set writes ``_SUCCESS``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distill.files.lines import STDIN
from distill.runtime import job as jobs
from distill.runtime.inputs import Input, read_inputs
from distill.runtime.job import Job, Report, check_out, job_facts, make_results, run_job
from distill.runtime.progress import HeldError, difference, held, read_facts, remove
from distill.system import atomic
from distill.system.errors import DataError, listed

if TYPE_CHECKING:
    from distill.runtime.model import BundleModel

#: What the shards are of.
JOB = "_job.json"
#: An empty file that says that all shards are there.
SUCCESS = "_SUCCESS"


@dataclass(frozen=True)
class Shards:
    """How the results are cut."""

    count: int  # how many shards there are
    # the one that is done here, from 0; ``None`` does all that no other process does
    only: int | None = None

    @property
    def chosen(self) -> Sequence[int]:
        return range(self.count) if self.only is None else [self.only]

    def name(self, index: int, suffix: str) -> str:
        return f"part-{index:05d}-of-{self.count:05d}{suffix}"

    def rows(self, index: int, total: int) -> tuple[int, int]:
        """The first row of one of them and the one behind its last.

        Where there are enough rows, shards are whole windows, so that none is computed twice.
        """
        step = jobs.WINDOW if total >= self.count * jobs.WINDOW else 1
        windows = -(-total // step)
        first, behind = (windows * one // self.count * step for one in (index, index + 1))
        return min(first, total), min(behind, total)


@dataclass(frozen=True)
class ShardsReport:
    """What came of this start."""

    report: Report  # rows of the shards that were done here
    written: int  # how many shards these were
    held: tuple[int, ...]  # shards that other processes were writing
    left: int  # how many of all shards are not there yet


def run_shards(
    model: BundleModel,
    job: Job,
    shards: Shards,
    *,
    suffix: str,
    moved: Callable[[int, int | None], None] = lambda *_: None,
) -> ShardsReport:
    """Predict for every row of some files, in their order, into a folder (``job.out``) of shards.

    Their names end in ``suffix``, such as ``.jsonl``; ``moved`` is that of
    :func:`~distill.runtime.job.run_job`.

    Raises:
        DataError: see :func:`~distill.runtime.job.run_job`; the folder holds other results, or the
            one shard that is wanted is being written by another process.
    """
    folder, start = job.out, time.monotonic()
    parts = _parts(job, shards, suffix)
    inputs = _begin(model, job, shards, parts)
    total = sum(one.rows for one in inputs)
    about = sum(behind - first for first, behind in (shards.rows(i, total) for i in shards.chosen))
    reports: list[Report] = []
    busy: list[int] = []
    for index in shards.chosen:
        part = replace(parts[index], rows=shards.rows(index, total))
        if part.out.exists():
            continue
        before = sum(one.rows for one in reports)

        def moved_on(rows: int, _: int | None, before: int = before) -> None:
            moved(before + rows, about)  # rows of all shards that are done here

        try:
            reports.append(run_job(model, part, inputs=inputs, moved=moved_on))
        except HeldError:
            if shards.only is not None:
                raise
            busy.append(index)
    left = _complete(folder, parts)
    notes = dict.fromkeys(note for one in reports for note in one.notes)
    sums = [sum(getattr(one, name) for one in reports) for name in ("rows", "bad", "before")]
    report = Report(sums[0], sums[1], sums[2], time.monotonic() - start, tuple(notes))
    return ShardsReport(report, len(reports), tuple(busy), left)


def _parts(job: Job, shards: Shards, suffix: str) -> list[Job]:
    if job.sources == (STDIN,):
        raise DataError("standard input cannot be cut into shards; write it to a file first")
    if job.out.exists() and not job.out.is_dir():
        raise DataError(f"{job.out}: a file; shards are written into a folder")
    return [
        replace(job, out=job.out / shards.name(index, suffix), resume=True)
        for index in range(shards.count)
    ]


def _begin(model: BundleModel, job: Job, shards: Shards, parts: Sequence[Job]) -> tuple[Input, ...]:
    """The input files, once they are known to be those that the folder's shards are of."""
    make_results(model, parts[0])  # refuses what cannot be written before anything is read
    check_out(job, job.out)
    path = job.out / JOB
    with held(job.out / "_job", wait=True):
        theirs = read_facts(path) if path.is_file() else None
        if theirs is None:
            _refuse_others(job.out)
        known = [Input(**one) for one in (theirs or {}).get("files", ())]
        inputs = read_inputs(job.sources, job.wanted, known)
        facts = job_facts(model, parts[0], inputs)
        if theirs is None:
            files = [asdict(one) for one in inputs]
            atomic.write_json(path, {**facts, "shards": shards.count, "files": files})
        elif theirs.get("shards") != shards.count:
            raise DataError(
                f"{job.out}: holds {theirs.get('shards')} shards, not {shards.count}; give the "
                "same number, or another folder"
            )
        elif other := difference(theirs, facts):
            raise DataError(f"{job.out}: shards of {other}, or another folder")
        if not all(part.out.exists() for part in parts):
            remove(job.out / SUCCESS)
    return inputs


def _refuse_others(folder: Path) -> None:
    others = sorted(path.name for path in folder.iterdir() if path.name[0] not in "_.")
    if others:
        raise DataError(
            f"{folder}: holds {listed(others)}, which no job with shards wrote; name a new folder"
        )


def _complete(folder: Path, parts: Sequence[Job]) -> int:
    """Say so where all shards are there; gives how many are not."""
    left = sum(not part.out.exists() for part in parts)
    if not left:
        with held(folder / "_job", wait=True):
            if not (folder / SUCCESS).exists():
                atomic.write_bytes(folder / SUCCESS, b"")
    return left
