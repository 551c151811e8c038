"""``distill export``: a bundle from a run's student, or from any folder with a classifier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distill.errors import ModelError

if TYPE_CHECKING:
    from distill.run_folder import RunFolder


def export(
    source: Annotated[Path, typer.Argument(help="A run folder, or a folder with a classifier.")],
    out: Annotated[Path, typer.Option(help="The new bundle; a folder there is replaced.")],
    formats: Annotated[
        str,
        typer.Option(help="transformers, onnx, onnx-int8, openvino, torch-export; with commas."),
    ] = "transformers,onnx,onnx-int8",
    max_length: Annotated[
        int | None, typer.Option(min=3, help="Tokens kept of an input; else all that it reads.")
    ] = None,
    pair: Annotated[bool, typer.Option("--pair", help="An input is two texts.")] = False,
) -> None:
    """Make a bundle without a recipe: exported, checked against torch, int8 without a gate.

    Of a run the newest student is taken, with the run's length and kind of input.

    Example:
      distill export path/to/classifier --out bundle --formats onnx,onnx-int8
      distill export runs/sst2 --out runs/sst2/openvino --formats openvino
    """
    if out.exists() and not (out / "distill.json").is_file():
        raise ModelError(f"{out}: there is something else; name a new folder or a bundle")
    folder = source
    if (source / "recipe.yaml").is_file():
        from distill.run_folder import RunFolder

        run = RunFolder(source)
        recipe = run.read_recipe()
        folder = _newest_student(run)
        max_length = max_length or recipe.data.max_length
        pair = pair or recipe.data.columns.text_pair is not None
    from distill.export.folder import export_folder

    names = [name.strip() for name in formats.split(",") if name.strip()]
    written = export_folder(folder, out, formats=names, max_length=max_length, pair=pair)
    typer.echo(f"{out}: {', '.join(written)} from {folder}")
    typer.echo(f'next: distill predict {out} "some text"')


def _newest_student(run: RunFolder) -> Path:
    from distill.recipe.plan import plan_stages

    made = [
        run.stage(stage) / "model"
        for stage in plan_stages(run.read_recipe())
        if stage.makes_student and run.is_marked_done(stage)
    ]
    if not made:
        raise ModelError(f"{run.path}: no student yet; go on with: distill resume {run.path}")
    return made[-1]
