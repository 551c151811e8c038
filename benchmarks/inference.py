"""Latency of PyTorch eager, ONNX fp32 and ONNX int8 side by side, for shapes given by size.

Weights are random, so this tells speed and size, not scores. Example:

    python benchmarks/inference.py --shapes 6x384 3x384 --lengths 32 --batches 1 32 --threads 2
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from distill.evaluation.cost import bytes_of, macs, parameters
from distill.evaluation.machine import machine
from distill.evaluation.predictors import FilePredictor, Predictor, TorchPredictor
from distill.evaluation.speed import measure
from distill.report import numbers
from distill.report.numbers import align
from distill.system.processor import physical_cores

VOCABULARY = 30522


def main() -> None:
    options = _options()
    logging.getLogger("distill").addHandler(logging.StreamHandler())
    logging.getLogger("distill").setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        predictors, costs = _models(options, Path(folder))
        speed = measure(
            predictors,
            batch_sizes=options.batches,
            lengths=options.lengths,
            threads=options.threads,
            repeats=options.repeats,
            vocab_size=VOCABULARY,
            seed=0,
        )
    told = machine() | {"threads": options.threads, "load": os.getloadavg()}
    if options.json:
        print(json.dumps({"machine": told, "costs": costs, "speed": speed}, indent=2))
        return
    print("\n".join(align(_rows(speed, costs), words=1)))
    print(f"\n{told['cpu']} ({', '.join(told['isa'])}), {options.threads} threads")
    print(f"load: {told['load'][0]:.1f} over the last minute (one busy core counts 1)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shapes", nargs="+", default=["6x384", "3x384", "tinybert4"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[32])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser.parse_args()


def _models(
    options: argparse.Namespace, folder: Path
) -> tuple[dict[str, Predictor], dict[str, dict[str, float]]]:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from distill.export.onnx import export_onnx
    from distill.quantization.graph import Int8
    from distill.quantization.onnx_int8 import quantize_onnx, timing_scales
    from distill.recipe.sizes import resolve_size

    predictors: dict[str, Predictor] = {}
    costs: dict[str, dict[str, float]] = {}
    for shape in options.shapes:
        size = resolve_size(shape)
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=VOCABULARY,
            num_hidden_layers=size.layers,
            hidden_size=size.hidden,
            num_attention_heads=size.heads,
            intermediate_size=size.ffn,
        )
        model = BertForSequenceClassification(config).eval()
        plain, int8 = folder / f"{shape}.onnx", folder / f"{shape}.int8.onnx"
        export_onnx(model, plain)
        quantize_onnx(plain, int8, Int8(scales=timing_scales(plain)))
        both = {"params": parameters(model), "macs": macs(model, min(options.lengths))}
        names = [f"{shape} torch", f"{shape} onnx", f"{shape} onnx-int8"]
        predictors[names[0]] = TorchPredictor(model, options.threads, name=names[0])
        costs[names[0]] = {**both, "bytes": 4 * both["params"]}
        for name, path in zip(names[1:], (plain, int8), strict=True):
            predictors[name] = FilePredictor(path, options.threads, name=name)
            costs[name] = {**both, "bytes": bytes_of(path)}
    return predictors, costs


def _rows(speed: dict[str, dict[str, Any]], costs: dict[str, dict[str, float]]) -> list[list[str]]:
    first = next(iter(speed))
    cells = list(speed[first]["latency_ms"])
    rows = [["model", "params M", "MACs M", "size MB", *(f"{cell} ms" for cell in cells)]]
    for name, times in speed.items():
        row = [name, numbers.millions(costs[name]["params"])]
        row += [numbers.millions(costs[name]["macs"]), numbers.megabytes(costs[name]["bytes"])]
        for cell in cells:
            p50 = times["latency_ms"][cell]["p50"]
            ratio = speed[first]["latency_ms"][cell]["p50"] / p50
            row.append(f"{numbers.milliseconds(p50)} ({numbers.times(ratio)})")
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
