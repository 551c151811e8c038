"""``distill run``: everything a recipe says, from data to bundle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distill.cli import options
from distill.system.errors import quoted

if TYPE_CHECKING:
    from distill.run_folder import RunFolder


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
    from distill.pipeline.runner import run as run_recipe
    from distill.recipe.loader import load_recipe
    from distill.run_folder import RunFolder, free_folder

    loaded = load_recipe(recipe, *(overrides or []))
    folder = run_dir if run_dir is not None else free_folder(loaded.name)
    results = run_recipe(loaded, folder)
    print_run(RunFolder(folder), results, as_json=as_json)


def print_run(folder: RunFolder, results: dict[str, Any], *, as_json: bool) -> None:
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
        content = results or held_out_object(folder.path)
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
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
