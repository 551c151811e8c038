"""``distill evaluate``, ``compare`` and ``report``: what runs came to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distill.cli import options
from distill.evaluation.results import read_results
from distill.evaluation.study import read_study, write_study
from distill.recipe.run_models import trial_of_study
from distill.run_folder import RunFolder
from distill.system import atomic
from distill.system.errors import RunFolderError, UserError, quoted


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
    folder = RunFolder(run)
    if folder.report.is_file():
        typer.echo(f"report: {folder.report}")
    if folder.holds_bundle():
        typer.echo(f"next: {predict_command(folder.bundle)}")
    else:
        typer.echo(f"next: distill report {quoted(run)}")


def _print_study(folder: Path, *, rerun: bool, as_json: bool) -> None:
    """Print a study's tables, with what its trials measured read anew."""
    from distill.cli.study import print_results

    results = read_study(folder)
    if results is None:
        return
    if rerun:
        from distill.pipeline.study_record import gathered
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
        options.print_json(held_out_object(run))
    elif lines:
        for line in [*lines, f"next: distill run RECIPE student.init={quoted(run)}"]:
            typer.echo(line)
    return bool(lines)


def _measure_again(run: Path) -> None:
    try:
        read_results(run)
    except RunFolderError:
        # What cannot be read is what --rerun is for; a folder that has nothing to measure is not.
        if not (run / "results.json").is_file():
            raise
    from distill.stages.evaluate import evaluate_run

    evaluate_run(run)


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two run folders or more.")],
    as_json: options.Json = False,
) -> None:
    """Put the results of several runs side by side; changes are against the first.

    Example: distill compare runs/quickstart runs/quickstart-2
    """
    from distill.report.compare import compare_table, comparison

    if len(runs) < 2:
        raise UserError("compare: one run alone; name two or more: distill compare RUN RUN")
    names = [run.resolve().name for run in runs]
    if len(set(names)) < len(set(runs)):  # two have the same name: told by their paths
        names = [str(run) for run in runs]
    named = {name: read_results(run) for name, run in zip(names, runs, strict=True)}
    if as_json:
        options.print_json(comparison(named))
        return
    typer.echo(compare_table(named))
    typer.echo(f"next: distill report {quoted(runs[-1])}")


def report(
    run: options.Run,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="Also write the ledger (what each step cost and gained; of a study its "
            "tables) as Markdown."
        ),
    ] = None,
) -> None:
    """Write a run's report.html again, from the files in its folder.

    Example: distill report runs/quickstart --markdown ledger.md
    """
    if study := read_study(run):
        from distill.report.study import markdown as markdown_tables
        from distill.report.study_page import write_page

        typer.echo(f"report: {write_page(run, study)}")
        if markdown is not None:
            atomic.write_text(markdown, markdown_tables(study))
            typer.echo(f"table: {markdown}")
        typer.echo(f"next: distill evaluate {quoted(run)}")
        return
    from distill.report.html import render_report
    from distill.report.ledger import markdown_ledger

    typer.echo(f"report: {render_report(run)}")
    if markdown is not None:
        atomic.write_text(markdown, markdown_ledger(read_results(run)))
        typer.echo(f"ledger: {markdown}")
    if (run / "results.json").is_file():
        typer.echo(f"next: distill compare {quoted(run)} ANOTHER_RUN")
    else:
        typer.echo(f"next: distill resume {quoted(run)}")
