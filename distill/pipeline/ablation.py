"""Running an ablation: every cell kept, stages shared among them, several at the same time."""

from __future__ import annotations

import fcntl
import gc
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from distill.console import clock
from distill.errors import RunFolderError
from distill.evaluation.ablation import AblationResults, CellResult
from distill.pipeline.ablation_progress import Progress, named, title
from distill.pipeline.ablation_record import AblationRecord
from distill.pipeline.cell import Job, do_cell
from distill.pipeline.cell_pool import CellPool
from distill.recipe.ablation import Cell, LoadedAblation
from distill.recipe.ablation_cost import stage_keys

logger = logging.getLogger("distill")


def ablate(
    loaded: LoadedAblation,
    folder: Path,
    *,
    wanted: Callable[[Cell], bool] = lambda _: True,
    command: str = "",
    keep_models: bool = False,
    jobs: int = 1,
) -> AblationResults:
    """Run an ablation's cells, or go on with them.

    Cells that are done are kept as long as their recipe and the files it names are the same; those
    that failed are tried again. A stage that another cell has done from the same inputs is taken
    over. After every cell ``ablation.json`` holds all that is known.

    Args:
        loaded: the ablation.
        folder: its folder, new or of the same ablation.
        wanted: which cells are run now.
        command: the command line that makes it, for the record.
        keep_models: keep every cell's weights. Otherwise they are removed as soon as no other
            cell can take them over; the teachers' are always kept.
        jobs: cells that are done at the same time. With several, each is done in a process of
            its own by one thread, so that the results are the same for any number of them; with
            one, in this process by the recipe's ``trainer.threads``.

    Returns:
        All cells that there are.

    Raises:
        RunFolderError: the folder is something else's, or another process works in it.
        KeyboardInterrupt: a person stopped it; the cells under way have left checkpoints.
    """
    with _held(folder):
        record = AblationRecord(loaded, folder, command)
        todo = [cell for cell in loaded.cells if wanted(cell) and not record.is_done(cell)]
        logger.info("%s: %d cells, %d to be done", loaded.config.name, len(loaded.cells), len(todo))
        for note, why in loaded.skipped.items():
            logger.info("%s: skipped: %s", note, why)
        progress = Progress(todo, jobs)

        def over(cell: Cell, result: CellResult) -> None:
            record.add(result)
            _tell(cell, result, progress if jobs > 1 else None)
            if not keep_models:
                _remove_weights(loaded.cells, record, folder)

        work = [_job(cell, loaded, folder, record.key(cell)) for cell in todo]
        if jobs > 1:
            one = [replace(job, cell=_in_one_thread(job.cell)) for job in work]
            CellPool(one, jobs, progress=progress, over=over).run()
        else:
            _one_by_one(work, progress, over)
        return record.results()


def _one_by_one(
    work: Sequence[Job], progress: Progress, over: Callable[[Cell, CellResult], None]
) -> None:
    """Do the cells in this process."""
    for job in work:
        logger.info(progress.begin(job.cell))
        start = time.monotonic()
        result = do_cell(job)
        progress.done(job.cell, time.monotonic() - start)
        over(job.cell, result)
        gc.collect()


def _tell(cell: Cell, result: CellResult, progress: Progress | None) -> None:
    """Say how a cell ended; one that ran beside others has not said its score itself."""
    if result.status == "failed":
        logger.warning("%s: failed: %s", cell.folder, result.reason)
    elif progress is not None:
        took, whole = clock(result.seconds), progress.whole()
        logger.info("%s: %.4f after %s; %s", title(cell), result.score, took, whole)


def results_so_far(loaded: LoadedAblation, folder: Path, command: str = "") -> AblationResults:
    """What is done of an ablation, without doing more of it."""
    return AblationRecord(loaded, folder, command).results()


def _job(cell: Cell, loaded: LoadedAblation, folder: Path, key: str) -> Job:
    siblings = [folder / other.folder for other in loaded.cells if other is not cell]
    return Job(cell, folder, key, siblings)


def _in_one_thread(cell: Cell) -> Cell:
    trainer = cell.recipe.trainer.model_copy(update={"threads": 1})
    return replace(cell, recipe=cell.recipe.model_copy(update={"trainer": trainer}))


def _remove_weights(cells: Sequence[Cell], record: AblationRecord, folder: Path) -> None:
    """Remove the models of finished cells that no other cell can take over any more."""
    keys = {named(cell): stage_keys(cell) for cell in cells}
    needed = {key for cell in cells if not record.is_done(cell) for key in keys[named(cell)]}
    for cell in cells:
        if not record.is_done(cell):
            continue
        for stage, key in zip(cell.planned(), keys[named(cell)], strict=True):
            if stage.kind != "teacher" and key not in needed:
                model = folder / cell.folder / stage.folder / "model"
                shutil.rmtree(model, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(f"{folder}: another process is working in this folder") from None
        yield
