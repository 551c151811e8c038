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
from typing import Any

from distill import digest
from distill.console import clock
from distill.errors import RunFolderError
from distill.evaluation.ablation import (
    AblationResults,
    CellResult,
    Column,
    Row,
    read_ablation,
    write_ablation,
)
from distill.pipeline.ablation_progress import Progress, named, title
from distill.pipeline.cell import Job, do_cell
from distill.pipeline.cell_pool import CellPool
from distill.recipe.ablation import Cell, LoadedAblation
from distill.recipe.ablation_cost import stage_keys
from distill.recipe.loader import resolved
from distill.recipe.schema import Recipe

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
        record = _Record(loaded, folder, command)
        todo = [cell for cell in loaded.cells if wanted(cell) and not record.is_done(cell)]
        told = len(loaded.cells) - len(todo)
        logger.info("%s: %d cells, %d to be done", loaded.config.name, told + len(todo), len(todo))
        for note, why in loaded.skipped.items():
            logger.info("%s: skipped: %s", note, why)
        progress = Progress(loaded.cells, todo, jobs)

        def over(cell: Cell, result: CellResult) -> None:
            record.add(result)
            if result.status == "failed":
                logger.warning("%s: failed: %s", cell.folder, result.reason)
            elif jobs > 1:
                logger.info(
                    "%s: %.4f after %s; %s",
                    title(cell),
                    result.score,
                    clock(result.seconds),
                    progress.whole(),
                )
            if not keep_models:
                _remove_weights(loaded.cells, record, folder)

        work = [_job(cell, loaded, folder, record.key(cell)) for cell in todo]
        if jobs > 1:
            one = [replace(job, cell=_in_one_thread(job.cell)) for job in work]
            CellPool(one, jobs, progress=progress, over=over).run()
            return record.results()
        for job in work:
            logger.info(progress.begin(job.cell))
            start = time.monotonic()
            result = do_cell(job)
            progress.done(job.cell, time.monotonic() - start)
            over(job.cell, result)
            gc.collect()
        return record.results()


def results_so_far(loaded: LoadedAblation, folder: Path, command: str = "") -> AblationResults:
    """What is done of an ablation, without doing more of it."""
    return _Record(loaded, folder, command).results()


def _job(cell: Cell, loaded: LoadedAblation, folder: Path, key: str) -> Job:
    siblings = [folder / other.folder for other in loaded.cells if other is not cell]
    return Job(cell, folder, key, siblings)


def _in_one_thread(cell: Cell) -> Cell:
    trainer = cell.recipe.trainer.model_copy(update={"threads": 1})
    return replace(cell, recipe=cell.recipe.model_copy(update={"trainer": trainer}))


class _Record:
    """What is known of an ablation's cells, in memory and in ``ablation.json``."""

    def __init__(self, loaded: LoadedAblation, folder: Path, command: str) -> None:
        self.loaded, self.command = loaded, command
        self.path = folder / "ablation.json"
        before = read_ablation(self.path)
        if before is not None and before.name != loaded.config.name:
            raise RunFolderError(
                f"{folder}: holds the ablation '{before.name}'; choose another --run-dir"
            )
        self._found = {(c.variant, c.task, c.seed): c for c in (before.cells if before else [])}
        self._files: dict[str, str | None] = {}
        self._keys = {named(cell): self._key(cell) for cell in loaded.cells}
        self.machine = before.machine if before else {}

    def key(self, cell: Cell) -> str:
        """Hash of a cell's recipe and of the files that it names."""
        return self._keys[named(cell)]

    def _key(self, cell: Cell) -> str:
        left_out = {"name", "description", "track"}
        # Without settings that nobody made: a later version may know more of them.
        content = {k: v for k, v in resolved(cell.recipe).items() if k not in left_out}
        files = {name: self._digest(name) for name in _files(cell.recipe)}
        return digest.of_json({"recipe": content, "stage": cell.stage, "files": files})

    def _digest(self, name: str) -> str | None:
        if name not in self._files:
            path = Path(name).expanduser()
            whole = digest.of_folder if path.is_dir() else digest.of_file
            self._files[name] = whole(path) if path.exists() else None
        return self._files[name]

    def get(self, cell: Cell) -> CellResult | None:
        """A cell's result, unless its recipe has changed since."""
        found = self._found.get(named(cell))
        return found if found is not None and found.key == self.key(cell) else None

    def is_done(self, cell: Cell) -> bool:
        """Whether a cell has its score."""
        found = self.get(cell)
        return found is not None and found.status == "done"

    def add(self, result: CellResult) -> None:
        """Put a cell's result down, on the disk too."""
        self._found[result.variant, result.task, result.seed] = result
        if not self.machine:
            from distill.evaluation.machine import machine

            self.machine = machine()
        write_ablation(self.path, self.results())

    def results(self) -> AblationResults:
        """Everything known, in the order of the file."""
        config, cells = self.loaded.config, self.loaded.cells
        seeds = {task: [c.seed for c in cells if c.task == task] for task in config.tasks}
        metrics = {cell.task: cell.recipe.task.metric for cell in cells}
        return AblationResults(
            schema=1,
            name=config.name,
            description=config.description,
            command=self.command,
            compare_to=config.reference,
            tasks=[
                Column(
                    name=name,
                    title=task.title or name,
                    metric=metrics.get(name, ""),
                    seeds=list(dict.fromkeys(seeds[name])),
                )
                for name, task in config.tasks.items()
            ],
            variants=[
                Row(
                    name=name,
                    title=variant.title or name,
                    tasks=variant.tasks or list(config.tasks),
                    skipped=self.loaded.skipped.get(name, ""),
                )
                for name, variant in config.variants.items()
            ],
            machine=self.machine,
            cells=[result for cell in cells if (result := self.get(cell))],
        )


def _files(recipe: Recipe) -> list[str]:
    """Files and folders that a recipe names."""
    names: list[Any] = [*(t.model for t in recipe.teacher.all), recipe.student.init]
    if recipe.data.source == "files":
        names += [recipe.data.train, recipe.data.validation, recipe.data.test]
        names += recipe.data.more.values()
    named = [one for name in names for one in (name if isinstance(name, list) else [name])]
    return [name for name in named if name and Path(name).expanduser().exists()]


def _remove_weights(cells: Sequence[Cell], record: _Record, folder: Path) -> None:
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
