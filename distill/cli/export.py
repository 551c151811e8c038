"""``distill export``: a bundle from a run's student, or from any folder with a task's model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distill.recipe.run_models import trial_of_study
from distill.system.errors import ModelError, quoted

if TYPE_CHECKING:
    from distill.export.folder import Known
    from distill.recipe.plan import PlannedStage
    from distill.run_folder import RunFolder


def export(
    source: Annotated[Path, typer.Argument(help="A run folder, or the folder of a model.")],
    out: Annotated[Path, typer.Option(help="The new bundle; a folder there is replaced.")],
    formats: Annotated[
        str | None,
        typer.Option(
            help="transformers, onnx, onnx-int8, openvino, torch-export; of a static student "
            "numpy, numpy-int8; with commas. Left out: transformers,onnx,onnx-int8, or both."
        ),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(min=3, help="Tokens kept of an input; else all that it reads.")
    ] = None,
    pair: Annotated[bool, typer.Option("--pair", help="An input is two texts.")] = False,
    task: Annotated[
        str | None,
        typer.Option(
            help="classification, multi_label, regression, ner, qa or vectors, where the model's "
            "folder does not say so."
        ),
    ] = None,
) -> None:
    """Make a bundle without a recipe: exported, checked against torch, int8 without a gate.

    No examples are read: int8 has one scale of activations for each token, which takes about a
    third longer than the calibrated scales of a recipe's quantize stage.

    Of a run the newest student is taken, with the run's length and what its task says.

    Example:
      distill export path/to/model --out bundle --formats onnx,onnx-int8
      distill export runs/sst2 --out runs/sst2/openvino --formats openvino
    """
    if out.exists() and not (out / "distill.json").is_file():
        raise ModelError(f"{out}: there is something else; name a new folder or a bundle")
    folder, known = source, None
    if (source / "recipe.yaml").is_file() or trial_of_study(source):
        from distill.run_folder import RunFolder

        if task is not None:
            raise ModelError(f"{source}: a run, whose recipe says its task; leave --task out")
        run = RunFolder(source)
        recipe = run.read_recipe()
        stage = _newest_student(run)
        folder = run.stage(stage) / "model"
        known = _known(run, stage)
        max_length = max_length or recipe.data.max_length
        # A sentence encoder reads the texts of a pair one by one.
        paired = recipe.data.columns.text_pair is not None
        pair = pair or (paired and not recipe.task.gives_vectors)
    from distill.export.folder import export_folder
    from distill.runtime.manifest import predict_command

    names = None
    if formats is not None:
        names = [name.strip() for name in formats.split(",") if name.strip()]
    written = export_folder(
        folder, out, formats=names, max_length=max_length, pair=pair, task=task, known=known
    )
    typer.echo(f"{out}: {', '.join(written)} from {folder}")
    typer.echo(f"next: {predict_command(out)}")


def _newest_student(run: RunFolder) -> PlannedStage:
    from distill.recipe.plan import plan_stages

    made = [
        stage
        for stage in plan_stages(run.read_recipe())
        if stage.makes_student and run.is_marked_done(stage)
    ]
    if not made:
        again = f"distill resume {quoted(run.path)}"
        raise ModelError(f"{run.path}: no student yet; go on with: {again}")
    return made[-1]


def _known(run: RunFolder, stage: PlannedStage) -> Known:
    """What the runtime has to know of a run's task, with what was chosen for the student.

    Raises:
        ModelError: the task is none (unlabelled text), so there is nothing to predict.
    """
    import json

    from distill.export.folder import Known
    from distill.tasks import make_task

    recipe = run.read_recipe()
    if recipe.task.learns_text:
        raise ModelError(
            f"{run.path}: a run over unlabelled text, whose student predicts nothing; start a "
            f"task from it: student.init={run.path}"
        )
    config = json.loads((run.stage(stage) / "model" / "config.json").read_text("utf-8"))
    names = {int(key): str(name) for key, name in (config.get("id2label") or {}).items()}
    task = make_task(recipe.task, [names[key] for key in sorted(names)])
    settings = task.settled(run.read_stage(stage)).settings
    manifest = run.bundle / "distill.json"
    if recipe.task.gives_vectors and manifest.is_file():
        # A whitening is found at export; the run's own bundle has it.
        found = json.loads(manifest.read_text("utf-8"))["settings"].get("whitening")
        if found is not None:
            files = {str(found["file"]): run.bundle / str(found["file"])}
            return Known(settings | {"whitening": found}, files)
    return Known(settings)
