"""``distill report``: a run's page, drawn again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distill.cli import options
from distill.errors import quoted


def report(
    run: options.Run,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="Also write the ledger (what each step paid and brought; of several seeds "
            "their table) as Markdown."
        ),
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
        from distill.evaluation.seeds import read_seed_results
        from distill.recipe.run_models import seeds_of_run
        from distill.report.ledger import markdown_ledger

        if seeds_of_run(run):
            from distill.report.seeds_table import markdown as markdown_table

            atomic.write_text(markdown, markdown_table(read_seed_results(run)))
            typer.echo(f"table: {markdown}")
        else:
            atomic.write_text(markdown, markdown_ledger(read_results(run)))
            typer.echo(f"ledger: {markdown}")
    if (run / "results.json").is_file():
        typer.echo(f"next: distill compare {quoted(run)} ANOTHER_RUN")
    else:
        typer.echo(f"next: distill resume {quoted(run)}")
