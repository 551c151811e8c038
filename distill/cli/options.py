"""Arguments and options that several commands share, said in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Recipe = Annotated[str, typer.Argument(help="A recipe's name (see `distill ls`) or a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Settings such as student.size=3x384.")]
Run = Annotated[Path, typer.Argument(help="The run folder.")]
Bundle = Annotated[Path, typer.Argument(help="A bundle, or the folder of a finished run.")]
ResultsAsJson = Annotated[
    bool, typer.Option("--json", help="Print results.json instead of the table.")
]
AsObject = Annotated[bool, typer.Option("--json", help="Print an object.")]
Column = Annotated[
    str | None, typer.Option(help="The column with the text; else text or sentence.")
]
Delimiter = Annotated[
    str | None,
    typer.Option(help="What separates a table's fields; else told by its name and header."),
]
PairColumn = Annotated[str | None, typer.Option(help="The column with the second text.")]
