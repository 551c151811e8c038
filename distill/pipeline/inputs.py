"""One hash of all that a stage's result depends on: where it is the same, what is done counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.recipe.plan import PlannedStage
from distill.recipe.run_models import model_of_run, sentence_root
from distill.run_folder import RunFolder
from distill.system import digest

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
    first = recipe.teacher.model_dump(mode="json", exclude={"more", "weight"})
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
            "student": (
                _by_content(recipe.student.model_dump(mode="json"))
                if stage.kind != "teacher"
                else None
            ),
            "precision": recipe.trainer.precision,
            "devices": recipe.trainer.processes,  # so many of them make a step's batch
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
