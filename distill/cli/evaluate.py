"""``distill evaluate``: a run's table, or its measurement again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from distill.cli import options
from distill.system.errors import UserError, quoted


def evaluate(
    run: options.Run,
    rerun: Annotated[
        bool, typer.Option("--rerun", help="Score and time every model again first.")
    ] = False,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Print what each step cost and gained instead.")
    ] = False,
    as_json: options.ResultsAsJson = False,
) -> None:
    """Print a run's results: score, cost and speed of every model, or measure them again.

    Example: distill evaluate runs/quickstart --ledger
    """
    from distill.evaluation.results import read_results
    from distill.recipe.run_models import trial_of_study

    if trial := trial_of_study(run):
        if ledger:
            raise UserError(
                f"evaluate: the ledger is of one run: distill evaluate {trial} --ledger"
            )
        _print_study(run, rerun=rerun, as_json=as_json)
        return
    if _print_held_out(run, as_json=as_json):
        return
    if rerun:
        _measure_again(run)
    results = read_results(run)
    if as_json:
        typer.echo(results.model_dump_json(by_alias=True, indent=2))
        return
    if ledger:
        from distill.report.ledger import plain_ledger

        typer.echo(plain_ledger(results))
        typer.echo(f"next: distill report {quoted(run)} --markdown ledger.md")
        return
    from distill.report.table import print_table
    from distill.runtime.manifest import predict_command

    print_table(results)
    if (run / "report.html").is_file():
        typer.echo(f"report: {run / 'report.html'}")
    if (run / "bundle" / "distill.json").is_file():
        typer.echo(f"next: {predict_command(run / 'bundle')}")
    else:
        typer.echo(f"next: distill report {quoted(run)}")


def _print_study(folder: Path, *, rerun: bool, as_json: bool) -> None:
    """Print a study's tables, with what its trials measured read anew."""
    from distill.cli.study import print_results
    from distill.evaluation.study import read_study, write_study
    from distill.pipeline.study_record import gathered

    results = read_study(folder)
    if results is None:
        return
    if rerun:
        from distill.run_folder import RunFolder
        from distill.stages.evaluate import evaluate_run

        with RunFolder(folder).held():
            for trial in results.trials:
                if trial.evaluated and trial.status == "done":
                    evaluate_run(folder / trial.folder)
            results = gathered(folder, results)
            write_study(folder, results)
    print_results(folder, results, as_json=as_json)


def _print_held_out(run: Path, *, as_json: bool) -> bool:
    """Print what a run over unlabelled text gained; whether this is one."""
    from distill.report.run_data import held_out_lines, held_out_object

    if not (run / "recipe.yaml").is_file() or (run / "results.json").is_file():
        return False
    lines = held_out_lines(run)
    if as_json and lines:
        typer.echo(json.dumps(held_out_object(run), indent=2))
    elif lines:
        for line in [*lines, f"next: distill run RECIPE student.init={quoted(run)}"]:
            typer.echo(line)
    return bool(lines)


def _measure_again(run: Path) -> None:
    from distill.evaluation.results import read_results
    from distill.system.errors import RunFolderError

    try:
        read_results(run)
    except RunFolderError:
        # What cannot be read is what --rerun is for; a folder that has nothing to measure is not.
        if not (run / "results.json").is_file():
            raise
    from distill.stages.evaluate import evaluate_run

    evaluate_run(run)
