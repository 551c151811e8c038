"""Taking over a stage that another run has done from the same inputs."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from distill.recipe.plan import PlannedStage
from distill.run_folder import LEFTOVERS, RunFolder
from distill.system import atomic


def take_over(
    folder: RunFolder, stage: PlannedStage, inputs: str, siblings: Iterable[Path]
) -> Path | None:
    """Put a stage's folder, done elsewhere from the same inputs, into this run.

    The inputs' hash covers everything that a stage's result depends on, its position and name
    among it, and every file is compared with the hash in its mark; so what is taken over is what
    the stage would have left. Files are linked where the file system can, and copied otherwise:
    nothing writes into a finished file, so that neither run can change the other's.

    Args:
        folder: this run.
        stage: the stage to be done.
        inputs: hash of its inputs.
        siblings: run folders to look in.

    Returns:
        The run it came from; ``None`` where there is none.
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
