"""``distill report``: a run's page, drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="The run folder.")]) -> None:
    """Write a run's report.html again, from the files in its folder.

    Example: distill report runs/quickstart
    """
    from distill.report.html import render_report

    path = render_report(run)
    typer.echo(f"report: {path}")
    if (run / "results.json").is_file():
        typer.echo(f"next: distill compare {run} ANOTHER_RUN")
    else:
        typer.echo(f"next: distill resume {run}")
