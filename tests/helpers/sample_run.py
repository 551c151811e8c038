"""Results and a run folder as a finished run leaves them, with believable numbers."""

from __future__ import annotations

import csv
import json
import math
import random
from pathlib import Path

from distill.evaluation.build import build_results
from distill.evaluation.results import ModelRow, Reference, Results, write_results

RECIPE = """\
recipe: 1
name: quickstart
description: Which library does a sentence come from? A 6-layer teacher, a 3-layer student.
seed: 42
task: {kind: classification, metric: accuracy}
data:
  source: builtin
  path: docstrings
  max_length: 64
teacher:
  model: minilm-l6
  finetune: {epochs: 1, lr: 5.0e-05, batch_size: 32}
student: {size: 3x384, init: teacher-layers}
baseline: true
stages:
- {kind: distill, name: intermediate, epochs: 1, objectives: [{kind: hidden}, {kind: attention}]}
- {kind: distill, name: prediction, epochs: 2, objectives: [{kind: logits}]}
- {kind: prune, name: prune, heads: 0.25, ffn: 0.5}
- {kind: quantize, name: quantize, max_drop: 0.01}
- {kind: export, name: export}
- {kind: evaluate, name: evaluate, batch_sizes: [1, 32], lengths: [32]}
"""

# name, stage, format, score, parameters, without embeddings, MACs, bytes, ms at b1, ms at b32
MODELS = [
    ("teacher", "teacher", "transformers", 0.8312, 22.7e6, 10.8e6, 346e6, 90.9e6, 8.51, 119.0),
    ("baseline", "baseline", "transformers", 0.7893, 17.4e6, 5.5e6, 174e6, 69.6e6, 4.32, 60.1),
    ("intermediate", "intermediate", "transformers", 0.21, 17.4e6, 5.5e6, 174e6, 69.6e6, 4.4, 60.9),
    ("prediction", "prediction", "transformers", 0.8121, 17.4e6, 5.5e6, 174e6, 69.6e6, 4.35, 60.3),
    ("prune", "prune", "transformers", 0.8042, 15.1e6, 3.2e6, 101e6, 60.5e6, 3.7, 41.0),
    ("onnx", "export", "onnx", 0.8042, 15.1e6, 3.2e6, 101e6, 60.6e6, 1.02, 22.0),
    ("onnx-int8", "quantize", "onnx-int8", 0.8013, 15.1e6, 3.2e6, 101e6, 15.3e6, 0.69, 13.1),
]
MACHINE = {
    "cpu": "Some Processor 9",
    "isa": ["avx2", "avx512f", "avx512_vnni"],
    "cores": 2,
    "memory_gb": 23.5,
    "platform": "Linux x86_64",
    "python": "3.11.2",
    "versions": {"torch": "2.13.0", "transformers": "5.23.0", "onnxruntime": "1.31.0"},
    "threads": 2,
}


REFERENCE = ("bert-base", "", "transformers", None, 109.5e6, 85.6e6, 2.7e9, 438e6, 54.5, 907.0)


def build_sample(
    models=MODELS, *, timed: bool = True, split: str = "test", reference: bool = False, **changes
):
    """The content of ``results.json``."""
    rows, speed, other = [], {}, None
    others = [REFERENCE] if reference else []
    for name, stage, kind, score, params, bare, macs, size, one, many in [*models, *others]:
        facts = {
            "name": name, "format": kind, "parameters": int(params),
            "parameters_no_embeddings": int(bare), "macs": int(macs), "bytes": int(size),
        }  # fmt: skip
        if score is None:
            other = Reference(**facts)
        else:
            scores = {"accuracy": score, "macro_f1": score - 0.01}
            rows.append(ModelRow(stage=stage, score=score, scores=scores, **facts))
        speed[name] = {
            "latency_ms": {
                "b1_l32": {"p50": one, "p95": one * 1.09},
                "b32_l32": {"p50": many, "p95": many * 1.05},
            },
            "throughput": {"b1_l32": 1000 / one, "b32_l32": 32000 / many},
            "calls": {"b1_l32": 30, "b32_l32": 30},
        }
    head = {
        "recipe": "quickstart", "task": "classification", "metric": "accuracy",
        "split": split, "machine": MACHINE,
    }  # fmt: skip
    results = build_results(rows, speed if timed else {}, reference=other, **(head | changes))
    return results.model_dump(by_alias=True, mode="json")


def write_curves(path: Path) -> None:
    draw = random.Random(0)
    rows = []
    ends = {"teacher": 0.8312, "baseline": 0.7893, "prediction": 0.8121, "prune": 0.8042}
    steps = {
        "teacher": 900,
        "baseline": 1800,
        "intermediate": 900,
        "prediction": 1800,
        "prune": 600,
    }
    for stage, total in steps.items():
        for step in range(10, total + 1, 10):
            decay = math.exp(-3 * step / total)
            loss = 0.5 + 2.2 * decay + draw.gauss(0, 0.08)
            rows.append([stage, step, step / total, "lr", 5e-5 * (1 - step / total), step / 9])
            if stage == "intermediate":
                parts = {"hidden": 0.3 + 0.9 * decay, "attention": 0.2 + 1.3 * decay}
                loss = sum(parts.values())
                for part, value in parts.items():
                    rows.append([stage, step, step / total, f"loss/{part}", value, step / 9])
            rows.append([stage, step, step / total, "loss", loss, step / 9])
        for share in (0.25, 0.5, 0.75, 1.0):
            if stage in ends:
                value = ends[stage] - 0.12 * (1 - share) ** 2 * (3 if stage == "teacher" else 1)
                step = int(total * share)
                rows.append([stage, step, share, "validation/accuracy", value, step / 9])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stage", "step", "epoch", "metric", "value", "seconds"])
        writer.writerows(rows)


STAGES = [
    ("01-teacher", "teacher", 96.2, 0.8312, {}),
    ("02-baseline", "baseline", 71.0, 0.7893, {}),
    ("03-intermediate", "distill", 49.0, 0.21,
     {"layer_map": [[1, 2], [2, 4], [3, 6]], "teacher_layers": 6, "student_layers": 3}),
    ("04-prediction", "distill", 72.5, 0.8121,
     {"layer_map": None, "teacher_layers": 6, "student_layers": 3}),
    ("05-prune", "prune", 38.1, 0.8042, {"notes": ["keeps 27 of 36 heads"]}),
    ("06-quantize", "quantize", 6.6, 0.8013, {}),
    ("07-export", "export", 8.8, 0.8042, {}),
]  # fmt: skip


def write_run(run: Path) -> Path:
    """Write a finished run's files into a new folder."""
    run.mkdir()
    (run / "recipe.yaml").write_text(RECIPE, "utf-8")
    write_results(run / "results.json", Results.model_validate(build_sample()))
    write_curves(run / "metrics.csv")
    for folder, kind, seconds, score, facts in STAGES:
        (run / folder).mkdir()
        name = folder.partition("-")[2]
        content = {"schema": 1, "name": name, "kind": kind, "seconds": seconds, "score": score}
        (run / folder / "stage.json").write_text(json.dumps(content | facts), "utf-8")
    return run
