"""The run folder: what lies where, who holds it, and which stages are done."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.recipe.inputs import anchored
from distill.recipe.loader import load_recipe, resolved_yaml
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.run_models import trial_of_study
from distill.recipe.schema import Recipe
from distill.system import atomic, digest
from distill.system.errors import RunFolderError, quoted

logger = logging.getLogger("distill")

#: What only an unfinished stage needs: checkpoints, and models on their way.
LEFTOVERS = ("checkpoint", "sliced", "tried", "round-*", "try-*")


class _Inside:
    """A path inside a run folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, folder: RunFolder, _: type) -> Path:
        return folder.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder, and the marks that say what is done."""

    path: Path

    recipe_file = _Inside("recipe.yaml")
    metrics = _Inside("metrics.csv")  # curves of every stage in long form
    results = _Inside("results.json")
    report = _Inside("report.html")
    log = _Inside("log.txt")
    environment = _Inside("environment.json")
    data = _Inside("data.json")  # facts of the rows: how many, how many were cut, notes
    bad_rows = _Inside("bad_rows.jsonl")  # set aside, as they cannot be used
    bundle = _Inside("bundle")

    def stage(self, stage: PlannedStage) -> Path:
        return self.path / stage.folder

    def holds_bundle(self) -> bool:
        return (self.bundle / "distill.json").is_file()

    def exists(self) -> bool:
        return self.recipe_file.is_file()

    def check(self, recipe: Recipe) -> None:
        """Look whether a run that was begun here is this recipe's.

        Raises:
            RunFolderError: it is another's, or finished.
        """
        if not self.exists():
            return
        held = self.read_recipe()
        if held != anchored(recipe):
            other = (
                f"'{held.name}'" if held.name != recipe.name else "other settings of this recipe"
            )
            raise RunFolderError(
                f"{self.path}: holds a run of {other}; choose another --run-dir, or go on with "
                f"that one: distill resume {quoted(self.path)}"
            )
        if all(self.is_marked_done(stage) for stage in plan_stages(held)):
            raise RunFolderError(
                f"{self.path}: this recipe's run is finished here; choose another --run-dir, or "
                f"look at it: distill evaluate {quoted(self.path)}"
            )

    def create(self, recipe: Recipe) -> None:
        """Make the folder for a recipe, unless a run of it was begun here.

        Raises:
            RunFolderError: it holds something else, or another run, or cannot be made.
        """
        self.check(recipe)
        if self.exists():
            logger.info("%s: this recipe's run was begun here and goes on", self.path)
            return
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise RunFolderError(
                f"{self.path}: not an empty folder and no run of distill; choose another --run-dir"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"{self.path}: cannot be made ({error.strerror}); choose another --run-dir"
            ) from error
        self.write_recipe(recipe)

    def write_recipe(self, recipe: Recipe) -> None:
        """Store the resolved recipe, its paths written in full."""
        atomic.write_text(self.recipe_file, resolved_yaml(anchored(recipe)))

    def read_recipe(self) -> Recipe:
        """The recipe that this run was started with.

        Raises:
            RunFolderError: no run was started here.
        """
        if trial := trial_of_study(self.path):
            raise RunFolderError(
                f"{self.path}: a study, which the same `distill study` command goes on with; "
                f"name one of its runs, such as {trial}"
            )
        if not self.exists():
            raise RunFolderError(
                f"{self.path}: not a run folder (it has no recipe.yaml); "
                "distill run RECIPE --run-dir DIR makes one"
            )
        return load_recipe(self.recipe_file)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from working in this folder; ended by the process's death too.

        Raises:
            RunFolderError: another process works in it.
        """
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunFolderError(
                    f"{self.path}: another process is working in this run folder"
                ) from None
            yield

    def is_marked_done(self, stage: PlannedStage) -> bool:
        """Whether a stage left its mark, without looking at what it wrote."""
        return (self.stage(stage) / "done.json").is_file()

    def is_done(self, stage: PlannedStage, inputs: str) -> bool:
        """Whether a stage finished from these inputs and its outputs are as it left them."""
        content = read_mapping(self.stage(stage) / "done.json")
        facts = self.stage(stage) / "stage.json"
        if content is None or read_mapping(facts) is None:
            return False
        outputs = content.get("outputs")
        return (
            content.get("inputs") == inputs
            and isinstance(outputs, dict)
            and all(
                (self.path / name).is_file() and digest.of_file(self.path / name) == expected
                for name, expected in outputs.items()
            )
        )

    def begin(self, stage: PlannedStage, inputs: str) -> Path:
        """The stage's folder, kept if it was begun from the same inputs and emptied otherwise."""
        folder = self.stage(stage)
        mark = folder / "begun.json"
        if (read_mapping(mark) or {}).get("inputs") == inputs:
            (folder / "done.json").unlink(missing_ok=True)
            return folder
        if folder.exists():
            shutil.rmtree(folder)
        atomic.write_json(mark, {"inputs": inputs})
        return folder

    def finish(self, stage: PlannedStage, inputs: str, outputs: list[Path]) -> None:
        """Mark a stage done: its inputs' hash, and that of every output, folders' files too."""
        files = [
            file
            for path in outputs
            for file in (sorted(path.rglob("*")) if path.is_dir() else [path])
            if file.is_file()
        ]
        hashes = {file.relative_to(self.path).as_posix(): digest.of_file(file) for file in files}
        atomic.write_json(
            self.stage(stage) / "done.json",
            {"inputs": inputs, "outputs": dict(sorted(hashes.items()))},
        )

    def mark_again(self, stage: PlannedStage) -> None:
        """Renew a finished stage's mark after its outputs were written again."""
        mark = self.stage(stage) / "done.json"
        if mark.is_file():
            content = _read(mark)
            self.finish(stage, content["inputs"], [self.path / name for name in content["outputs"]])

    def read_results(self) -> dict[str, Any]:
        """The content of ``results.json``; empty before the evaluation."""
        return _read(self.results) if self.results.is_file() else {}

    def tidy(self, stage: PlannedStage) -> None:
        """Remove what only an unfinished stage needs: checkpoints, and a model on its way."""
        for name in LEFTOVERS:
            for path in self.stage(stage).glob(name):
                shutil.rmtree(path, ignore_errors=True)

    def outputs_digest(self, stage: PlannedStage) -> str:
        """Hash over what a finished stage wrote: part of the inputs of those that read it."""
        return digest.of_json(_read(self.stage(stage) / "done.json")["outputs"])

    def read_stage(self, stage: PlannedStage) -> dict[str, Any]:
        return _read(self.stage(stage) / "stage.json")


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def read_mapping(path: Path) -> dict[str, Any] | None:
    """The mapping in a JSON file; ``None`` where it is missing or damaged."""
    try:
        content = _read(path)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def free_folder(name: str, root: Path = Path("runs")) -> Path:
    """``runs/NAME``, or ``runs/NAME-2``, ``-3``, ... where that one is taken."""
    path, number = root / name, 1
    while path.exists():
        number += 1
        path = root / f"{name}-{number}"
    return path
