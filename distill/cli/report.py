"""``distill report``: a run's page, drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distill.cli import options
from distill.system.errors import quoted


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
    from distill.evaluation.study import read_study
    from distill.report.html import render_report
    from distill.system import atomic

    if study := read_study(run):
        from distill.report.study import markdown as markdown_tables
        from distill.report.study_page import write_page

        typer.echo(f"report: {write_page(run, study)}")
        if markdown is not None:
            atomic.write_text(markdown, markdown_tables(study))
            typer.echo(f"table: {markdown}")
        typer.echo(f"next: distill evaluate {quoted(run)}")
        return
    path = render_report(run)
    typer.echo(f"report: {path}")
    if markdown is not None:
        from distill.evaluation.results import read_results
        from distill.report.ledger import markdown_ledger

        atomic.write_text(markdown, markdown_ledger(read_results(run)))
        typer.echo(f"ledger: {markdown}")
    if (run / "results.json").is_file():
        typer.echo(f"next: distill compare {quoted(run)} ANOTHER_RUN")
    else:
        typer.echo(f"next: distill resume {quoted(run)}")
