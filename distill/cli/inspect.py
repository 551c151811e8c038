"""``distill inspect``: how a teacher and its student read one text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distill.cli import options

if TYPE_CHECKING:
    from distill.inspection.result import Inspection, Reading

_MOST_TOKENS = 5


def inspect(
    folder: Annotated[
        Path, typer.Argument(help="A run folder, a bundle, or the folder of a model.")
    ],
    text: Annotated[str, typer.Argument(help="The text to look at.")],
    pair: Annotated[str | None, typer.Option(help="The second text, for models of pairs.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes; else inspect.html.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="The label to explain; else the student's choice.")
    ] = None,
    word: Annotated[
        str | None,
        typer.Option(help="Of a model that tags words: the word to explain; else the surest."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="A teacher's folder to put beside the student; else the run's."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON; a page only with --out.")
    ] = False,
) -> None:
    """Show how a teacher and its student read one text: predictions, what counts, attention.

    Writes a page with attention maps of the matched layers beside each other and with what each
    token adds to the prediction (integrated gradients).

    Example:
      distill inspect runs/sst2 "a fine film, though far too long"
      distill inspect runs/mrpc "He left." --pair "He went away." --out page.html
      distill inspect runs/squad "Where is Normandy?" --pair "Normandy is in France."
    """
    from distill.inspection.inspect_text import inspect_text
    from distill.inspection.subjects import find_subjects
    from distill.report.inspect_page import write_page

    found = inspect_text(
        find_subjects(folder, teacher=teacher), text, pair=pair, label=label, word=word
    )
    if as_json:
        options.print_json(found.as_plain())
        if out is None:
            return
    path = write_page(out or Path("inspect.html"), found)
    if not as_json:
        for line in _lines(found):
            typer.echo(line)
        typer.echo(f"page: {path}")


def _lines(found: Inspection) -> list[str]:
    lines = [_line(one) for one in found.readings]
    lines.append(f"what counts for {found.explained}:")
    lines += [f"  {one.role:<8} {_strongest(one)}" for one in found.readings]
    return lines + [f"note: {note}" for note in found.notes]


def _line(reading: Reading) -> str:
    best = max(reading.outputs.values())
    sure = f" ({best:.1%})" if reading.predicted in reading.outputs else ""
    return f"{reading.role:<8} {reading.predicted}{sure}"


def _strongest(reading: Reading) -> str:
    values = reading.attribution.values
    order = sorted(range(len(values)), key=lambda at: -abs(values[at]))[:_MOST_TOKENS]
    return ", ".join(f"{reading.tokens[at]} {values[at]:+.2f}" for at in order)
