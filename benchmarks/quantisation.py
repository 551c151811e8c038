"""Ways to quantise a run's student, side by side: score, latency, throughput and size.

`plain` is what a user would do by hand: the student exported by torch with its defaults, quantised
by ONNX Runtime's dynamic int8 with its defaults, run by a session with its defaults. The run folder
is only read. Example:

    python benchmarks/quantisation.py runs/sst2 --threads 2
    python benchmarks/quantisation.py runs/sst2 --qat-steps 300 --out quantised
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from plain import PlainSession, plain_files

from distill.evaluation.cost import bytes_of
from distill.evaluation.machine import machine
from distill.evaluation.predictors import FilePredictor, Predictor
from distill.evaluation.score import score
from distill.evaluation.speed import measure
from distill.export.onnx import export_onnx
from distill.export.openvino import is_installed
from distill.quantization.bench import Bench, Candidate
from distill.quantization.methods.dynamic import dynamic
from distill.quantization.methods.nncf import nncf
from distill.quantization.methods.qat import QatQuantize
from distill.quantization.methods.weights_only import weights_only
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.schema import TrainConfig
from distill.report import numbers
from distill.report.numbers import align
from distill.run_folder import RunFolder
from distill.stages.context import StageContext, Workspace
from distill.stages.quantize import run_of
from distill.system.processor import physical_cores
from teachers.load import load_model


class _Elsewhere(StageContext):
    """A quantize stage of a run that works outside of the run's folder."""

    place: Path

    @property
    def folder(self) -> Path:
        return self.place


def main() -> None:
    options = _options()
    logging.getLogger("distill").addHandler(logging.StreamHandler())
    logging.getLogger("distill").setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        place = options.out or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        context = _context(options, place)
        plain = place / "model.onnx"
        student = load_model(context.trained_student_folder())
        export_onnx(student, plain)
        bench = Bench(context.stage.config, run_of(context), plain)
        found: dict[str, Path] = {"onnx fp32": plain}
        formats = {"onnx fp32": "onnx"}
        seconds = {"onnx fp32": 0.0}
        for make in _ways(bench, options):
            start = time.perf_counter()
            candidate = make()
            seconds[candidate.what] = time.perf_counter() - start
            found[candidate.what], formats[candidate.what] = candidate.path, candidate.format
        predictors: dict[str, Predictor] = {
            name: FilePredictor(path, options.threads, name=name, format=formats[name])
            for name, path in found.items()
        }
        by_hand = plain_files(student, place)
        found |= by_hand
        predictors |= {
            name: PlainSession(path, name, options.threads) for name, path in by_hand.items()
        }
        rows = _measured(context, predictors, found, seconds, options)
    if options.json:
        print(json.dumps({"machine": machine(), "rows": rows}, indent=2))
        return
    metric = context.workspace.task.primary
    print("\n".join(_table(rows, metric)))
    told = machine()
    print(f"\n{told['cpu']} ({', '.join(told['isa'])}), {options.threads} threads")
    print(f"load: {os.getloadavg()[0]:.1f} over the last minute (one busy core counts 1)")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="a run folder with a trained student")
    parser.add_argument("--threads", type=int, default=physical_cores())
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--qat-steps", type=int, default=300, help="0 leaves training for int8 out")
    parser.add_argument("--rows", type=int, default=512, help="calibration examples")
    parser.add_argument("--out", type=Path, help="keep the files here")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser.parse_args()


def _context(options: argparse.Namespace, place: Path) -> StageContext:
    run = RunFolder(options.run)
    recipe = run.read_recipe()
    stages = plan_stages(recipe)
    steps = max(1, options.qat_steps)
    train = TrainConfig(max_steps=steps, lr=2e-5, dropout=0.0)
    config = QatQuantize(
        kind="quantize", method="qat", calibration_examples=options.rows, train=train, max_drop=1.0
    )
    last = max(s.index for s in stages if s.makes_student)
    stage = PlannedStage(index=last + 1, name="quantize", kind="quantize", config=config)
    context = _Elsewhere(run, stage, stages, Workspace(recipe))
    object.__setattr__(context, "place", place)
    return context


def _ways(bench: Bench, options: argparse.Namespace) -> list[Callable[[], Candidate]]:
    ways: list[Callable[[], Candidate]] = [
        lambda: dynamic(bench, "per_batch", per_channel=True, exclude=[]),
        lambda: _static(bench, per_channel=False),
        lambda: _static(bench, per_channel=True),
        lambda: dynamic(bench, "per_token", per_channel=True, exclude=[]),
    ]
    if is_installed():
        ways += [
            lambda: _static(bench, per_channel=True, format="openvino-int8"),
            lambda: nncf(bench, smooth=0.95, exclude=[]),
        ]
    if options.qat_steps:
        ways.append(lambda: bench.config.candidates(bench)[0])
    ways += [
        lambda: weights_only(bench, bits=8, exclude=[]),
        lambda: weights_only(bench, bits=4, exclude=[]),
    ]
    return ways


def _static(bench: Bench, *, per_channel: bool, format: str = "onnx-int8") -> Candidate:
    int8 = bench.static_int8(per_channel=per_channel, exclude=[])
    return bench.try_int8(f"static {bench.config.calibration}", int8, format=format)


def _measured(
    context: StageContext,
    predictors: dict[str, Predictor],
    found: dict[str, Path],
    seconds: dict[str, float],
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    workspace = context.workspace
    data = workspace.tokenized(workspace.data.validation)
    length = max(2, int(np.median(data.lengths)))
    speed = measure(
        predictors,
        batch_sizes=[1, 32],
        lengths=[length],
        threads=options.threads,
        repeats=options.repeats,
        vocab_size=int(workspace.tokenizer.vocab_size),
        seed=0,
    )
    rows = []
    for name, predictor in predictors.items():
        cells = speed[name]["latency_ms"]
        single, many = cells[f"b1_l{length}"], cells[f"b32_l{length}"]
        rows.append(
            {
                "way": name,
                "score": score(predictor, data, workspace.task)[workspace.task.primary],
                "bytes": bytes_of(found[name]),
                "length": length,
                "ms": single["p50"],
                "p95": single["p95"],
                "ms_b32": many["p50"],
                "made_in": seconds.get(name),
            }
        )
    return rows


def _table(rows: list[dict[str, Any]], metric: str) -> list[str]:
    length = rows[0]["length"]
    table = [
        ["way", metric, "size MB", f"b1_l{length} ms", "p95", f"b32_l{length} ms", "made in s"]
    ]
    for row in rows:
        made = "-" if row["made_in"] is None else f"{row['made_in']:.1f}"
        table.append(
            [row["way"], numbers.score(row["score"]), numbers.megabytes(row["bytes"])]
            + [numbers.milliseconds(row[key]) for key in ("ms", "p95", "ms_b32")]
            + [made]
        )
    return list(align(table, words=1))


if __name__ == "__main__":
    main()
