"""Arguments and options that several commands share, in the same words."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from distill.system.errors import RunFolderError, quoted


def print_json(content: Any) -> None:
    """Print what ``--json`` asks for."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


def listed(text: str | None) -> list[str]:
    """The words of ``A,B,...``."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _near_name(path: Path) -> Path:
    """A folder as it was named, unless it is not there and a run of almost that name is.

    Raises:
        RunFolderError: did you mean that one?
    """
    if path.exists():
        return path
    files = ("recipe.yaml", "study.json", "distill.json")
    runs = {
        run.name: run
        for root in (Path(), Path("runs"), path.parent)
        for run in root.glob("*")
        if any((run / file).is_file() for file in files)
    }
    if near := difflib.get_close_matches(path.name, runs, n=1):
        raise RunFolderError(f"{path}: no such folder; did you mean {quoted(runs[near[0]])}?")
    return path


Recipe = Annotated[str, typer.Argument(help="A recipe's name (see `distill ls`) or a YAML file.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Settings such as student.size=3x384.")]
Run = Annotated[Path, typer.Argument(help="The run folder.", callback=_near_name)]
Bundle = Annotated[
    Path, typer.Argument(help="A bundle, or the folder of a finished run.", callback=_near_name)
]
ResultsAsJson = Annotated[
    bool, typer.Option("--json", help="Print results.json instead of the table.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Column = Annotated[
    str | None, typer.Option(help="The column with the text; else text or sentence.")
]
Delimiter = Annotated[
    str | None,
    typer.Option(help="What separates a table's fields; else its name and header decide."),
]
Format = Annotated[
    str | None,
    typer.Option(help="onnx-int8, onnx, openvino-int8, ...; else the bundle's default."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; else the tuned number or all cores.")
]
PairColumn = Annotated[str | None, typer.Option(help="The column with the second text.")]
