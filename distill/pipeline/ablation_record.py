"""What is known of an ablation's cells: in memory, and in ``ablation.json`` after each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distill import digest
from distill.errors import RunFolderError
from distill.evaluation.ablation import (
    AblationResults,
    CellResult,
    Column,
    Row,
    read_ablation,
    write_ablation,
)
from distill.pipeline.ablation_progress import named
from distill.recipe.ablation import Cell, LoadedAblation
from distill.recipe.loader import resolved
from distill.recipe.schema import Recipe


class AblationRecord:
    """The cells' results, each under the hash of its recipe.

    Args:
        loaded: the ablation.
        folder: its folder.
        command: the command line that makes it.

    Raises:
        RunFolderError: the folder holds another ablation.
    """

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
