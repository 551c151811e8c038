"""Stages that are done already: one hash of all that a stage's result depends on.

Where it is the same, what is done counts: here, or in another run, from which it is taken over.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.recipe.plan import PlannedStage
from distill.recipe.run_models import model_of_run, sentence_root
from distill.run_folder import LEFTOVERS, RunFolder
from distill.system import atomic, digest

if TYPE_CHECKING:
    from distill.stages.workspace import Workspace

#: Settings that name a folder or a file.
_PLACES = ("model", "init", "glove")


def inputs_digest(
    stage: PlannedStage, workspace: Workspace, folder: RunFolder, done: list[PlannedStage]
) -> str:
    """Hash of everything a stage's result depends on."""
    recipe = workspace.recipe
    # The baseline reads no stage before it, and only the evaluation reads the baseline.
    read = [s for s in done if s.kind != "baseline" or stage.kind == "evaluate"]
    if stage.kind in ("baseline", "teacher"):
        read = []
    first = recipe.source.model_dump(mode="json", exclude={"weight"})
    return digest.of_json(
        {
            "config": _by_content(stage.config.model_dump(mode="json")),
            "name": stage.name,
            "index": stage.index,
            "seed": recipe.seed,
            "task": recipe.task.model_dump(mode="json"),
            "data": workspace.data_digest,
            "max_length": recipe.data.max_length,
            # An augment stage asks the model that the teacher was made from.
            "teacher": _by_content(first) if stage.kind in ("baseline", "augment") else None,
            # Of a teacher that ran elsewhere; only the evaluation looks beyond training examples.
            "targets": workspace.targets_digest(scored=stage.kind == "evaluate")
            if stage.kind != "baseline"
            else None,
            "student": (
                _by_content(recipe.student.model_dump(mode="json"))
                if stage.kind != "teacher"
                else None
            ),
            "precision": recipe.trainer.precision,
            # They are scored at the end only: what came before does not depend on them.
            **(
                {"more": workspace.more_digest, "linear": recipe.linear}
                if stage.kind == "evaluate"
                else {}
            ),
            "weights": (
                [teacher.weight for teacher in recipe.teacher.all]
                if stage.kind not in ("teacher", "baseline")
                else None
            ),
            "read": {s.name: folder.outputs_digest(s) for s in read},
        }
    )


def _by_content(section: Any) -> Any:
    """A section's settings; a folder or file that they name counts by what it holds, not where."""
    if isinstance(section, dict):
        return {
            key: _content(value) or value
            if key in _PLACES and isinstance(value, str)
            else _by_content(value)
            for key, value in section.items()
        }
    return section


def _content(name: str) -> str | None:
    """Hash of a local folder or file that the recipe names; a hub name has its revision."""
    path = model_of_run(Path(name).expanduser())
    if path.is_dir():
        return digest.of_folder(sentence_root(path), [".json", ".safetensors"])
    return digest.of_file(path) if path.is_file() else None


def take_over(
    folder: RunFolder, stage: PlannedStage, inputs: str, siblings: Iterable[Path]
) -> Path | None:
    """Put a stage's folder, done elsewhere from the same inputs, into this run.

    The inputs' hash covers everything that a stage's result depends on, its position and name
    among it, and every file is compared with the hash in its mark; so what is taken over is what
    the stage would have left. Files are linked where the file system can, and copied otherwise:
    nothing writes into a finished file, so that neither run can change the other's.

    Returns:
        The run, of the siblings, that it came from; ``None`` where there is none.
    """
    for path in siblings:
        other = RunFolder(path)
        if path.resolve() == folder.path.resolve() or not _offers(other, stage, inputs):
            continue
        try:
            with atomic.new_folder(folder.stage(stage)) as new:
                shutil.copytree(
                    other.stage(stage),
                    new,
                    copy_function=_link,
                    ignore=shutil.ignore_patterns(*LEFTOVERS, ".*"),
                    dirs_exist_ok=True,
                )
        except (OSError, shutil.Error):
            if _offers(other, stage, inputs):
                raise
            continue  # another process has removed its weights in between
        _copy_curves(other.metrics, folder.metrics, stage.name)
        return path
    return None


def _offers(other: RunFolder, stage: PlannedStage, inputs: str) -> bool:
    mark = other.stage(stage) / "done.json"
    try:
        content = json.loads(mark.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    if content.get("inputs") != inputs:
        return False
    # A stage that writes outside its folder (the bundle) stands for more than its folder.
    own = all(name.startswith(f"{stage.folder}/") for name in content.get("outputs") or ())
    return own and other.is_done(stage, inputs)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)
    return target


def _copy_curves(source: Path, target: Path, stage: str) -> None:
    """Bring the stage's rows of ``metrics.csv`` along."""
    if not source.is_file():
        return
    theirs = list(csv.reader(io.StringIO(source.read_text("utf-8"))))
    mine = list(csv.reader(io.StringIO(target.read_text("utf-8")))) if target.is_file() else []
    kept = [row for row in mine[1:] if row and row[0] != stage]
    taken = [row for row in theirs[1:] if row and row[0] == stage]
    if not taken:
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([theirs[0], *kept, *taken])
    atomic.write_text(target, text.getvalue())
