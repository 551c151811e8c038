"""The table of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distill.evaluation.cells import latency_cell, split_cell, throughput_cell, told_length
from distill.report import numbers
from distill.report.columns import align


def plain_benchmark(found: Mapping[str, Any]) -> str:
    """What :func:`distill.evaluation.benchmark.benchmark` found, as plain lines."""
    models = found["models"]
    cells = list(models[0]["latency_ms"])
    alone, many = latency_cell(cells), throughput_cell(cells)
    rest = [cell for cell in cells if cell != alone]
    header = ["model", "format", "params M", "MACs M", "size MB", f"p50 ms {alone}", "p95 ms"]
    header += [f"p50 ms {cell}" for cell in rest] + [f"ex/s {many}", "faster", "smaller"]
    rows = [_row(model, alone or "", many or "", rest) for model in models]
    return "\n".join([*align([header, *rows]), "", *_conditions(found)])


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


def _conditions(found: Mapping[str, Any]) -> list[str]:
    machine, real = found["machine"], found["real_lengths"]
    alone = latency_cell(list(found["models"][0]["latency_ms"])) or ""
    told = f"1x: {found['one']}; faster at batch {split_cell(alone)[0]}, {told_length(alone)}"
    if real:
        told += f" ({real['mean']:.0f} tokens in the mean, {real['p95']} at most in 95 %)"
    threads = machine["threads"]
    isa = ", ".join(machine["isa"])
    versions = machine["versions"]
    names = ("torch", "transformers", "onnxruntime", "openvino")
    return [
        f"{told}; {threads} thread{'s' if threads != 1 else ''}",
        f"{machine['cpu']} ({isa})",
        ", ".join(f"{name} {versions[name]}" for name in names if name in versions),
    ]
