"""One hash of all that a stage's result depends on: where it is the same, what is done counts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distill import digest
from distill.recipe.plan import PlannedStage, StageConfig
from distill.recipe.run_models import model_of_run
from distill.recipe.schema import AugmentStage, Recipe, TeacherModel
from distill.run_folder import RunFolder

if TYPE_CHECKING:
    from distill.stages.workspace import Workspace


def inputs_digest(
    stage: PlannedStage, workspace: Workspace, folder: RunFolder, done: list[PlannedStage]
) -> str:
    """Hash of everything a stage's result depends on."""
    recipe = workspace.recipe
    # The baseline reads no stage before it, and only the evaluation reads the baseline.
    read = [s for s in done if s.kind != "baseline" or stage.kind == "evaluate"]
    if stage.kind in ("baseline", "teacher"):
        read = []
    model = stage.config.model if isinstance(stage.config, TeacherModel) else recipe.teacher.model
    first = recipe.teacher.model_dump(mode="json", exclude={"more", "weight"})
    return digest.of_json(
        {
            "config": stage.config.model_dump(mode="json"),
            "name": stage.name,
            "index": stage.index,
            "seed": recipe.seed,
            "task": recipe.task.model_dump(mode="json"),
            "data": workspace.data_digest,
            "max_length": recipe.data.max_length,
            "teacher": first if stage.kind == "baseline" else None,
            "student": recipe.student.model_dump(mode="json") if stage.kind != "teacher" else None,
            "init": _folder_digest(recipe.student.init) if stage.kind != "teacher" else None,
            "precision": recipe.trainer.precision,
            "devices": recipe.trainer.devices,  # so many of them make a step's batch
            "model": _folder_digest(model) if stage.kind in ("teacher", "baseline") else None,
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
            "named": _named_inputs(stage.config, recipe),
            "read": {s.name: folder.outputs_digest(s) for s in read},
        }
    )


def _named_inputs(config: StageConfig, recipe: Recipe) -> dict[str, str | None] | None:
    """Hashes of the files and models that a stage itself names."""
    if not isinstance(config, AugmentStage):
        return None
    glove = Path(config.glove).expanduser() if config.glove is not None else None
    return {
        "glove": digest.of_file(glove) if glove is not None and glove.is_file() else None,
        "model": _folder_digest(config.model or recipe.teacher.model),
    }


def _folder_digest(name: str) -> str | None:
    """Hash of a local model folder that the recipe names; a hub name has its revision."""
    folder = model_of_run(Path(name).expanduser())
    return digest.of_folder(folder, [".json", ".safetensors"]) if folder.is_dir() else None
