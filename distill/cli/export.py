"""``distill export``: a bundle from a run's student, or from any folder with a task's model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distill.cli import options
from distill.evaluation.results import read_results
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.run_models import trial_of_study
from distill.recipe.schema import Recipe
from distill.run_folder import RunFolder
from distill.system.errors import ModelError, UserError, quoted

if TYPE_CHECKING:
    from distill.export.folder import Known


_Out = Annotated[Path | None, typer.Option(help="The new bundle; a folder there is replaced.")]
_Formats = Annotated[
    str | None,
    typer.Option(
        help="transformers, onnx, onnx-int8, openvino, torch-export; of a static student "
        "numpy, numpy-int8; with commas. Left out: transformers,onnx,onnx-int8, or both."
    ),
]
_MaxLength = Annotated[
    int | None, typer.Option(min=3, help="Tokens kept of an input; else all that it reads.")
]
_Pair = Annotated[bool, typer.Option("--pair", help="An input is two texts.")]
_Task = Annotated[
    str | None,
    typer.Option(
        help="classification, multi_label, regression, ranking, ner, qa or vectors, where the "
        "model's folder does not say so."
    ),
]
_Push = Annotated[
    str | None,
    typer.Option(help="OWNER/NAME on the model hub; without --out the bundle that is there."),
]
_Public = Annotated[bool, typer.Option("--public", help="Everybody may see what is pushed.")]
_License = Annotated[
    str | None, typer.Option(help="The licence that the pushed card names: apache-2.0, ...")
]


@dataclass(frozen=True)
class _Source:
    """A model to export, and of a run what its recipe says of it."""

    folder: Path
    known: Known | None = None
    max_length: int | None = None
    pair: bool = False
    run: RunFolder | None = None


def export(
    source: Annotated[Path, typer.Argument(help="A run folder, or the folder of a model.")],
    out: _Out = None,
    formats: _Formats = None,
    max_length: _MaxLength = None,
    pair: _Pair = False,
    task: _Task = None,
    push: _Push = None,
    public: _Public = False,
    license: _License = None,
) -> None:
    """Make a bundle without a recipe: exported, checked against torch, int8 without a gate.

    No examples are read: int8 has one scale of activations for each token, which takes about a
    third longer than the calibrated scales of a recipe's quantize stage.

    Of a run the newest student is taken, with the run's length and what its task says. A bundle is
    pushed with its model card to a private repository, with the token of HF_TOKEN or hf auth login.

    Example:
      distill export path/to/model --out bundle --formats onnx,onnx-int8
      distill export runs/sst2 --out runs/sst2/openvino --formats openvino
      distill export runs/sst2 --push me/sst2-small --license apache-2.0
    """
    _check_push(push, given=public or license is not None)
    if out is not None:
        settings = {"max_length": max_length, "pair": pair, "task": task}
        _write(source, out, formats, settings)
    elif push is None:
        raise UserError("give --out FOLDER, --push OWNER/NAME, or both")
    elif formats or max_length or pair or task:
        raise UserError("--push without --out takes the bundle as it is; give --out FOLDER too")
    if push is not None:
        from distill.export.push import push as upload
        from distill.runtime.manifest import find_bundle

        bundle = find_bundle(source) if out is None else out
        address = upload(bundle, push, public=public, licence=license)
        typer.echo(f"{address}: {bundle}, {'public' if public else 'private'}")


def _check_push(push: str | None, *, given: bool) -> None:
    from distill.export.push import check_name

    if push is not None:
        check_name(push)
    elif given:
        raise UserError("--public and --license are of what is pushed; give --push OWNER/NAME too")


def _write(source: Path, out: Path, formats: str | None, settings: dict[str, Any]) -> None:
    if out.exists() and not (out / "distill.json").is_file():
        raise ModelError(f"{out}: there is something else; name a new folder or a bundle")
    model = _source(source, settings["task"])
    from distill.export.folder import export_folder
    from distill.runtime.manifest import predict_command

    names = None if formats is None else options.listed(formats)
    written = export_folder(
        model.folder,
        out,
        formats=names,
        max_length=settings["max_length"] or model.max_length,
        pair=settings["pair"] or model.pair,
        task=settings["task"],
        known=model.known,
    )
    if model.run is not None:
        from distill.report.card import write_card

        results = read_results(source) if model.run.results.is_file() else None
        write_card(out, model.folder, model.run.read_recipe(), results)
    typer.echo(f"{out}: {', '.join(written)} from {model.folder}")
    typer.echo(f"next: {predict_command(out)}")


def _source(source: Path, task: str | None) -> _Source:
    if not (source / "recipe.yaml").is_file() and not trial_of_study(source):
        return _Source(source)
    if task is not None:
        raise ModelError(f"{source}: a run, whose recipe says its task; leave --task out")
    run = RunFolder(source)
    recipe = run.read_recipe()
    stages = [one for one in plan_stages(recipe) if one.makes_student and run.is_marked_done(one)]
    if not stages:
        raise ModelError(f"{source}: no student yet; go on with: distill resume {quoted(source)}")
    # A sentence encoder reads the texts of a pair one by one.
    paired = recipe.data.columns.text_pair is not None and not recipe.task.gives_vectors
    known = _known(run, stages[-1], recipe)
    return _Source(run.stage(stages[-1]) / "model", known, recipe.data.max_length, paired, run)


def _known(run: RunFolder, stage: PlannedStage, recipe: Recipe) -> Known:
    """What the runtime has to know of a run's task, with what was chosen for the student."""
    from distill.export.folder import Known
    from distill.inspection.subjects import settings_of

    if recipe.task.learns_text:
        raise ModelError(
            f"{run.path}: a run over unlabelled text, whose student predicts nothing; start a "
            f"task from it: student.init={run.path}"
        )
    settings = settings_of(run.stage(stage) / "model", recipe)
    manifest = run.bundle / "distill.json"
    if recipe.task.gives_vectors and manifest.is_file():
        # A whitening is found at export; the run's own bundle has it.
        found = json.loads(manifest.read_text("utf-8"))["settings"].get("whitening")
        if found is not None:
            files = {str(found["file"]): run.bundle / str(found["file"])}
            return Known(settings | {"whitening": found}, files)
    return Known(settings)
