"""``distill compare``: several runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distill.system.errors import quoted

if TYPE_CHECKING:
    from distill.evaluation.results import Results


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two run folders or more.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the comparison as JSON instead.")
    ] = False,
) -> None:
    """Put the results of several runs side by side; changes are against the first.

    Example: distill compare runs/quickstart runs/quickstart-2
    """
    from distill.report.compare import compare_table, comparison
    from distill.system.errors import UserError

    if len(runs) < 2:
        raise UserError("compare: one run alone; name two or more: distill compare RUN RUN")
    named = _named(runs)
    if as_json:
        typer.echo(json.dumps(comparison(named), indent=2, ensure_ascii=False))
        return
    typer.echo(compare_table(named))
    typer.echo(f"next: distill report {quoted(runs[-1])}")


def _names(runs: list[Path]) -> dict[Path, str]:
    """Runs by their folders' names, or by their whole paths where two have the same name."""
    short = [run.resolve().name for run in runs]
    unique = len(set(short)) == len(set(runs))
    return {run: name if unique else str(run) for run, name in zip(runs, short, strict=True)}


def _named(runs: list[Path]) -> dict[str, Results]:
    from distill.evaluation.results import read_results

    return {name: read_results(run) for run, name in _names(runs).items()}
