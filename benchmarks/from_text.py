"""Texts per second from text to answer: bundles of one task beside the linear model.

A run's table times models on token ids and the linear model on texts. Here all read texts: those
that the runs are scored on, in one call (which puts texts of like length into a batch), one thread,
the models in turns within one process. Each model's score is that of its run's table.

    python benchmarks/from_text.py runs/static runs/3x384
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distill.evaluation.predictors import torch_threads
from distill.evaluation.results import LINEAR, read_results
from distill.report.numbers import align
from distill.run_folder import RunFolder
from distill.runtime import load
from distill.stages.workspace import Workspace

#: Answers to texts.
Answers = Callable[[Sequence[str]], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="run folders of one task")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    workspace = Workspace(RunFolder(chosen.runs[0]).read_recipe())
    data = workspace.data
    texts = (data.test or data.validation).texts
    floor = workspace.task.floor(data)
    assert floor is not None
    ways: dict[str, Answers] = {LINEAR: lambda some: floor.logits((some, None))}
    rows = read_results(chosen.runs[0]).models
    scores = {row.name: row.score for row in rows if row.name == LINEAR}
    for run in chosen.runs:
        model, final = load(run, threads=1), read_results(run).final
        ways[run.name] = lambda some, model=model: model.predict(some, batch_size=chosen.batch_size)
        scores[run.name] = final.score
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with torch_threads(1):
        for number in range(chosen.rounds + 1):
            for name, answers in ways.items():
                rate = _rate(answers, texts)
                rates[name] += [rate] if number else []  # the first round warms up
    table = [["model", "score", "texts/s", "from", "to"]]
    for name, found in rates.items():
        numbers = (statistics.median(found), min(found), max(found))
        table.append([name, f"{scores[name]:.4f}", *(f"{one:,.0f}" for one in numbers)])
    print("\n".join(align(table, words=1)))


def _rate(answers: Answers, texts: Sequence[str]) -> float:
    start = time.perf_counter()
    answers(texts)
    return len(texts) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
