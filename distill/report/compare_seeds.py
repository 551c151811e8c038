"""Runs side by side where one of them has several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distill.evaluation.seeds import SeedResults, SeedRow
from distill.report import numbers
from distill.report.columns import align
from distill.report.compare import Asked, differing, model_names, noted
from distill.report.seeds_table import gain_text, score_text, share_text

Runs = Mapping[str, SeedResults]
_SCORES, _SPEED = "scores do not compare", "latencies do not compare"


def seeds_comparison(runs: Runs) -> dict[str, Any]:
    """As :func:`distill.report.compare.comparison`, every number with its spread."""
    names = model_names(runs.values())
    return {
        "schema": 1,
        "kind": "seeds",
        "runs": [
            {
                "run": run,
                "recipe": results.recipe,
                "task": results.task,
                "metric": results.metric,
                "split": results.split,
                "cell": results.cell,
                "n": len(results.seeds),
                "final": results.final.model_dump(mode="json"),
            }
            for run, results in runs.items()
        ],
        "models": {
            name: {run: row.model_dump(mode="json") if (row := _find(r, name)) else None
                   for run, r in runs.items()}
            for name in names
        },
        "notes": _notes(runs),
    }  # fmt: skip


def seeds_table(runs: Runs) -> str:
    """Final models, then every model's score, as plain aligned text; changes are of the means."""
    notes = _notes(runs)
    same = not any(_SCORES in note for note in notes)
    first = next(iter(runs.values())).final
    header = ["run", "final model", "metric", "n", "score", "change", "retention", "to baseline"]
    rows = [[*header, "size MB", "p50 ms", "smaller", "faster"]]
    for run, results in runs.items():
        row = results.final
        rows.append(
            [
                *(run, row.name, results.metric, str(row.score.n), score_text(row.score)),
                f"{row.score.mean - first.score.mean:+.4f}" if same else "-",
                *(share_text(row.retention), gain_text(row.gain)),
                numbers.megabytes(row.bytes.mean),
                numbers.milliseconds(row.latency_ms.mean if row.latency_ms else None),
                numbers.times(row.smaller.mean),
                numbers.times(row.faster.mean if row.faster else None),
            ]
        )
    scores = [["model", *runs]]
    for name in model_names(runs.values()):
        found = [_find(results, name) for results in runs.values()]
        scores.append([name, *("-" if row is None else score_text(row.score) for row in found)])
    lines = [
        *align(rows, words=3),
        "",
        "every model: mean ± sample standard deviation of the score",
    ]
    lines += align(scores, words=1)
    return noted(lines, notes)


def _find(results: SeedResults, name: str) -> SeedRow | None:
    return next((row for row in results.models if row.name == name), None)


def _notes(runs: Runs) -> list[str]:
    asked: Asked[SeedResults] = [
        ("task", lambda r: r.task, _SCORES),
        ("metric", lambda r: r.metric, _SCORES),
        ("split", lambda r: r.split, _SCORES),
        ("timed cell", lambda r: r.cell or "none", _SPEED),
        ("processor", lambda r: str(r.machine.get("cpu")), _SPEED),
        ("threads", lambda r: str(r.machine.get("threads")), _SPEED),
    ]
    found = differing(runs, asked)
    single = [run for run, results in runs.items() if len(results.seeds) == 1]
    if single:
        found.append(f"one seed alone has no spread: {', '.join(single)}")
    return found
