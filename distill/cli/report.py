"""``distill report``: a run's page, drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    markdown: Annotated[
        Path | None,
        typer.Option(help="Also write the ledger (what each step paid and brought) as Markdown."),
    ] = None,
) -> None:
    """Write a run's report.html again, from the files in its folder.

    Example: distill report runs/quickstart --markdown ledger.md
    """
    from distill.report.html import render_report

    path = render_report(run)
    typer.echo(f"report: {path}")
    if markdown is not None:
        from distill import atomic
        from distill.evaluation.results import read_results
        from distill.report.ledger import markdown_ledger

        atomic.write_text(markdown, markdown_ledger(read_results(run)))
        typer.echo(f"ledger: {markdown}")
    if (run / "results.json").is_file():
        typer.echo(f"next: distill compare {run} ANOTHER_RUN")
    else:
        typer.echo(f"next: distill resume {run}")
