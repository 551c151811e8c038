"""``distill benchmark``: any number of models timed side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from distill.system.errors import UserError, quoted


def benchmark(
    models: Annotated[
        list[Path],
        typer.Argument(help="Bundles or run folders, transformers folders, .onnx or .xml files."),
    ],
    lengths: Annotated[
        str, typer.Option(help="Tokens of an input, such as 16,32, and `real` for rows' own.")
    ] = "real",
    batch_sizes: Annotated[str, typer.Option(help="Inputs of a call, such as 1,32.")] = "1",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of every model; else all cores.")
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=3, help="Timed calls of each model at each size and length.")
    ] = 30,
    against: Annotated[
        str | None, typer.Option(help="bert-base: that shape in PyTorch is 1x.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="A file of rows whose lengths are the real ones.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the numbers as JSON instead.")
    ] = False,
) -> None:
    """Time models in turns on this machine, every format of a bundle, and print one table.

    Example:
      distill benchmark runs/sst2 --against bert-base
      distill benchmark bundle model.onnx --lengths 16,32 --batch-sizes 1,32 --threads 1
    """
    asked = _lengths(lengths)
    sizes = _whole(batch_sizes, "--batch-sizes")
    if against not in (None, "bert-base"):
        raise UserError(f"--against: found '{against}'; known: bert-base")
    from distill.evaluation.benchmark import benchmark as run_benchmark
    from distill.evaluation.machine import physical_cores
    from distill.report.benchmark import plain_benchmark

    found = run_benchmark(
        models,
        lengths=asked,
        batch_sizes=sizes,
        threads=threads or physical_cores(),
        repeats=repeats,
        against=against,
        rows=rows,
    )
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    typer.echo(plain_benchmark(found))
    typer.echo(_next(models))


def _lengths(text: str) -> list[int | str]:
    asked: list[int | str] = []
    for word in text.split(","):
        asked += ["real"] if word.strip() == "real" else _whole(word, "--lengths")
    return asked


def _whole(text: str, option: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UserError(f"{option}: found '{text}'; write whole numbers such as 1,32")
    return [int(word) for word in words]


def _next(models: list[Path]) -> str:
    from distill.runtime.manifest import find_bundle

    for path in models:
        try:
            find_bundle(path)
        except UserError:
            continue
        return f'next: distill predict {quoted(path)} "some text"'
    return "next: distill run RECIPE makes such models: distill ls"
