"""``distill run`` and ``resume``: everything a recipe says, from data to bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from distill.cli import options
from distill.recipe.loader import load_recipe
from distill.run_folder import RunFolder, free_folder
from distill.system.errors import quoted


def run(
    recipe: options.Recipe,
    overrides: options.Overrides = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(help="A new folder, or where this run was begun; else runs/NAME."),
    ] = None,
    as_json: options.ResultsAsJson = False,
) -> None:
    """Run a recipe: teacher, baseline, distillation, compression, export, evaluation.

    Example: distill run quickstart student.size=3x384 --run-dir runs/first
    """
    loaded = load_recipe(recipe, *(overrides or []))
    from distill.pipeline.runner import run as run_recipe

    folder = run_dir if run_dir is not None else free_folder(loaded.name)
    _print_run(RunFolder(folder), run_recipe(loaded, folder), as_json=as_json)


def resume(
    run: options.Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to change; stages that depend on them are done again."),
    ] = None,
    as_json: options.ResultsAsJson = False,
) -> None:
    """Go on with a run: finished stages are kept, the one under way goes on from its checkpoint.

    Example: distill resume runs/quickstart stages.quantize.max_drop=0.02
    """
    from distill.pipeline.runner import resume as resume_run

    _print_run(RunFolder(run), resume_run(run, *(overrides or [])), as_json=as_json)


def _print_run(folder: RunFolder, results: dict[str, Any], *, as_json: bool) -> None:
    """Print a finished run's table, where its files lie, and the next command.

    Of several processes that ``torchrun`` or ``srun`` started, the first one does.
    """
    if (os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0") != "0":
        return
    from distill.evaluation.results import read_results
    from distill.report.ledger import plain_ledger
    from distill.report.run_data import held_out_lines, held_out_object
    from distill.report.table import print_table
    from distill.runtime.manifest import predict_command

    if as_json:
        options.print_json(results or held_out_object(folder.path))
        return
    lines = [] if results else held_out_lines(folder.path)
    for line in lines:
        typer.echo(line)
    if results:
        read = read_results(folder.path)
        print_table(read)
        typer.echo(f"\n{plain_ledger(read)}\n")
    if folder.report.is_file():
        typer.echo(f"report: {folder.report}")
    if folder.bundle.is_dir():
        typer.echo(f"bundle: {folder.bundle}")
        typer.echo(f"next: {predict_command(folder.bundle)}")
    elif lines:
        typer.echo(f"next: distill run RECIPE student.init={quoted(folder.path)}")
    else:
        typer.echo(f"next: distill show {quoted(folder.recipe_file)}")
