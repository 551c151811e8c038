"""``distill benchmark``: any number of models timed side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from distill.cli import options
from distill.evaluation.cells import describe_length, latency_cell, split_cell, throughput_cell
from distill.report import numbers
from distill.system.errors import UserError


def benchmark(
    models: Annotated[
        list[Path],
        typer.Argument(help="Bundles or run folders, transformers folders, .onnx or .xml files."),
    ],
    lengths: Annotated[
        str,
        typer.Option(help="Tokens of an input, such as 16,32, and `real` for the examples' own."),
    ] = "real",
    batch_sizes: Annotated[str, typer.Option(help="Inputs of a call, such as 1,32.")] = "1",
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of every model; else all cores.")
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=3, help="Timed calls of each model at each size and length.")
    ] = 30,
    against: Annotated[
        Literal["bert-base"] | None, typer.Option(help="bert-base: that shape in PyTorch is 1x.")
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="A file of texts whose lengths are the real ones.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Time models in turns on this machine, every format of a bundle, and print one table.

    Example:
      distill benchmark runs/sst2 --against bert-base
      distill benchmark bundle model.onnx --lengths 16,32 --batch-sizes 1,32 --threads 1
    """
    asked = _lengths(lengths)
    sizes = _whole(batch_sizes, "--batch-sizes")
    from distill.evaluation.benchmark import benchmark as run_benchmark
    from distill.system.processor import physical_cores

    content = run_benchmark(
        models,
        lengths=asked,
        batch_sizes=sizes,
        threads=threads or physical_cores(),
        repeats=repeats,
        against=against,
        rows=rows,
    )
    if as_json:
        options.print_json(content)
        return
    typer.echo(_table(content))
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


def _table(content: Mapping[str, Any]) -> str:
    models = content["models"]
    cells = list(models[0]["latency_ms"])
    alone, many = latency_cell(cells), throughput_cell(cells)
    rest = [cell for cell in cells if cell != alone]
    header = ["model", "format", "params M", "MACs M", "size MB", f"p50 ms {alone}", "p95 ms"]
    header += [f"p50 ms {cell}" for cell in rest] + [f"ex/s {many}", "faster", "smaller"]
    rows = [_row(model, alone or "", many or "", rest) for model in models]
    return "\n".join([*numbers.align([header, *rows]), "", *_conditions(content)])


def _row(model: Mapping[str, Any], alone: str, many: str, rest: list[str]) -> list[str]:
    times = model["latency_ms"]
    return [
        model["name"],
        model["format"],
        numbers.millions(model["parameters"]) if model["parameters"] is not None else "-",
        numbers.millions(model["macs"]) if model["macs"] is not None else "-",
        numbers.megabytes(model["bytes"]),
        numbers.milliseconds(times[alone]["p50"]),
        numbers.milliseconds(times[alone]["p95"]),
        *(numbers.milliseconds(times[cell]["p50"]) for cell in rest),
        numbers.rate(model["throughput"][many]),
        numbers.times(model["faster"]),
        numbers.times(model["smaller"]),
    ]


def _conditions(content: Mapping[str, Any]) -> list[str]:
    machine, real = content["machine"], content["real_lengths"]
    alone = latency_cell(list(content["models"][0]["latency_ms"])) or ""
    text = f"1x: {content['one']}; faster at batch {split_cell(alone)[0]}, {describe_length(alone)}"
    if real:
        text += f" ({real['mean']:.0f} tokens in the mean, {real['p95']} at most in 95 %)"
    isa = ", ".join(machine["isa"])
    versions = machine["versions"]
    names = ("torch", "transformers", "onnxruntime", "openvino")
    return [
        f"{text}; {numbers.counted(machine['threads'], 'thread')}",
        f"{machine['cpu']} ({isa})",
        ", ".join(f"{name} {versions[name]}" for name in names if name in versions),
    ]


def _next(models: list[Path]) -> str:
    from distill.runtime.manifest import find_bundle, predict_command

    for path in models:
        try:
            return f"next: {predict_command(find_bundle(path), path)}"
        except UserError:
            continue
    return "next: distill run RECIPE makes such models: distill ls"
