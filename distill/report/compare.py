"""Several runs side by side, and what keeps their numbers from being compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from distill.evaluation.cells import latency_cell, throughput_cell
from distill.evaluation.results import ModelRow, Results
from distill.report import numbers
from distill.report.numbers import align

Runs = Mapping[str, Results]


def model_names(runs: Runs) -> list[str]:
    """Every model's name once, in the order of the runs."""
    return list(dict.fromkeys(row.name for results in runs.values() for row in results.models))


def comparison(runs: Runs) -> dict[str, Any]:
    """The final models and all models of several runs, ready for JSON.

    Args:
        runs: results by the run's name, the one to compare with first.

    Returns:
        ``runs`` (one for each, with its final model), ``models`` (model name -> run -> row or
        ``None``), ``notes`` (what cannot be compared).
    """
    return {
        "schema": 1,
        "runs": [
            {
                "run": run,
                "recipe": results.recipe,
                "task": results.task,
                "metric": results.metric,
                "split": results.split,
                "cell": latency_cell(set(results.final.latency_ms)),
                "final": results.final.model_dump(),
            }
            for run, results in runs.items()
        ],
        "models": {
            name: {
                run: None if (row := find(results, name)) is None else row.model_dump()
                for run, results in runs.items()
            }
            for name in model_names(runs)
        },
        "notes": differences(runs),
    }


def find(results: Results, name: str) -> ModelRow | None:
    """A run's model of that name."""
    return next((row for row in results.models if row.name == name), None)


def differences(runs: Runs) -> list[str]:
    """What differs between runs so that some numbers do not compare; one line each."""
    scores, speed = "scores do not compare", "latencies and throughputs do not compare"
    facts: list[tuple[str, Callable[[Results], str], str]] = [
        ("task", lambda r: r.task, scores),
        ("metric", lambda r: r.metric, scores),
        ("split", lambda r: r.split, scores),
        ("timed cell", lambda r: latency_cell(set(r.one.latency_ms)) or "none", speed),
        ("processor", lambda r: str(r.machine.get("cpu")), speed),
        ("threads", lambda r: str(r.machine.get("threads")), speed),
    ]
    notes = []
    for what, read, effect in facts:
        values = {run: read(results) for run, results in runs.items()}
        if len(set(values.values())) > 1:
            named = ", ".join(f"{run} {value}" for run, value in values.items())
            notes.append(f"different {what}, so {effect}: {named}")
    return notes


def compare_table(runs: Runs) -> str:
    """Final models, then every model by name, as plain aligned text."""
    notes = differences(runs)
    same_score = not any("scores do not compare" in note for note in notes)
    first = next(iter(runs.values())).final
    header = ["run", "final model", "metric", "score", "change", "retention", "size MB", "p50 ms"]
    rows = [[*header, "ex/s", "smaller", "faster"]]
    for run, results in runs.items():
        row = results.final
        rows.append(
            [
                *(run, row.name, results.metric, numbers.score(row.score)),
                f"{row.score - first.score:+.4f}" if same_score else "-",
                *(numbers.percent(row.retention), numbers.megabytes(row.bytes)),
                *_speed(row),
                *(numbers.times(row.ratios.size), numbers.times(row.ratios.latency)),
            ]
        )
    lines = align(rows, words=3)
    lines += ["", "every model: score, size, median latency"]
    lines += align(_by_model(runs), words=1)
    return "\n".join([*lines, *([""] if notes else []), *(f"note: {note}" for note in notes)])


def _speed(row: ModelRow) -> tuple[str, str]:
    alone, many = latency_cell(set(row.latency_ms)), throughput_cell(set(row.throughput))
    return (
        numbers.milliseconds(row.latency_ms[alone].p50 if alone else None),
        numbers.rate(row.throughput[many] if many else None),
    )


def _by_model(runs: Runs) -> list[list[str]]:
    rows = [["model", *runs]]
    for name in model_names(runs):
        cells = []
        for results in runs.values():
            row = find(results, name)
            cells.append("-" if row is None else _cell(row))
        rows.append([name, *cells])
    return rows


def _cell(row: ModelRow) -> str:
    text = f"{numbers.score(row.score)}  {numbers.megabytes(row.bytes)} MB"
    latency = _speed(row)[0]
    return text if latency == "-" else f"{text}  {latency} ms"
