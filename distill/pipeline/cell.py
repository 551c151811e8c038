"""One cell of an ablation, done in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from distill.errors import DiskFullError, UserError
from distill.evaluation.ablation import CellResult
from distill.pipeline.raw_output import into_file
from distill.pipeline.runner import go_on
from distill.recipe.ablation import Cell
from distill.recipe.plan import PlannedStage
from distill.run_folder import RunFolder

logger = logging.getLogger("distill")


@dataclass(frozen=True)
class Job:
    """A cell and what doing it needs.

    Args:
        cell: what is done.
        folder: the ablation's folder.
        key: hash of the cell's recipe and of the files that it names.
        siblings: run folders whose finished stages may be taken over.
    """

    cell: Cell
    folder: Path
    key: str
    siblings: Sequence[Path]

    @property
    def place(self) -> Path:
        """The cell's run folder."""
        return self.folder / self.cell.folder

    def result(self, status: Literal["done", "failed"], seconds: float, **rest: Any) -> CellResult:
        """What is put down about the cell."""
        cell = self.cell
        return CellResult(
            variant=cell.variant,
            task=cell.task,
            seed=cell.seed,
            key=self.key,
            status=status,
            seconds=round(seconds, 1),
            folder=cell.folder,
            **rest,
        )


def do_cell(
    job: Job, *, passed: Callable[[PlannedStage], None] | None = None, raw_to_log: bool = False
) -> CellResult:
    """Run one cell; what a user can mend, and a fault of ours, is put down as its failure.

    Args:
        job: the cell.
        passed: called with every stage once it is done.
        raw_to_log: send what is written past the loggers (warnings, a library's C++ parts) to
            the cell's ``log.txt`` too.

    Raises:
        DiskFullError: no other cell would fare better.
        KeyboardInterrupt: a person wants to stop; a training has written its checkpoint.
    """
    start = time.monotonic()
    try:
        with _raw_to_log(job) if raw_to_log else nullcontext():
            facts = go_on(
                job.cell.recipe,
                job.place,
                until=job.cell.stage,
                reuse=job.siblings,
                passed=passed,
            )
    except DiskFullError:
        raise
    except Exception as error:
        own = isinstance(error, UserError)
        if not own:
            logger.exception("%s: a fault of distill", job.cell.folder)
        reason = str(error) if own else f"{type(error).__name__}: {error}"
        return job.result("failed", time.monotonic() - start, reason=reason)
    seconds = time.monotonic() - start
    return job.result("done", seconds, score=facts["score"], scores=facts["scores"])


@contextmanager
def _raw_to_log(job: Job) -> Iterator[None]:
    folder = RunFolder(job.place)
    if not folder.exists():
        folder.create(job.cell.recipe)
    with into_file(folder.log):
        yield
