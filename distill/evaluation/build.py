"""Puts scores, costs and speeds together into results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distill.evaluation.cells import latency_cell, throughput_cell
from distill.evaluation.parts import Calibration, Confusion, Disagreement, LabelScore
from distill.evaluation.results import BASELINE, LINEAR, TEACHER, Results, is_teacher


@dataclass(frozen=True)
class ModelFacts:
    """What was found out about one model, except how fast it is.

    Args:
        name: see :class:`ModelRow`, as for all of these.
        stage: the stage that made it.
        format: ``transformers``, ``onnx`` or ``onnx-int8``.
        scores: every metric of the task on the scored split.
        parameters: of the model that was exported, for exported formats.
        parameters_no_embeddings: the same without the embedding tables.
        macs: at the mean real length, or the smallest timed one.
        bytes: of this format's file.
        memory_mb: of a fresh process.
        more_scores: every metric on each set of further rows.
        calibration: whether it is as often right as it says.
        label_scores: how well each label is predicted.
        thresholds: the probability above which each label is given, where there may be several.
    """

    name: str
    stage: str
    format: str
    scores: Mapping[str, float]
    parameters: int
    parameters_no_embeddings: int
    macs: int
    bytes: int
    memory_mb: float | None = None
    more_scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    calibration: Calibration | None = None
    label_scores: Mapping[str, LabelScore] = field(default_factory=dict)
    thresholds: Mapping[str, float] = field(default_factory=dict)


def build_results(
    models: Sequence[ModelFacts],
    speed: Mapping[str, Mapping[str, Any]],
    *,
    recipe: str,
    task: str,
    metric: str,
    split: str,
    machine: Mapping[str, Any],
    real_lengths: Mapping[str, Any] | None = None,
    reference: ModelFacts | None = None,
    confusion: Confusion | None = None,
    disagreement: Disagreement | None = None,
) -> dict[str, Any]:
    """Put scores, costs and speeds together; retention and ratios refer to ``teacher``.

    Args:
        models: one for each row; the linear model, the teacher and the baseline are put first,
            exports last.
        speed: by model name, from :func:`distill.evaluation.speed.measure`.
        recipe: the recipe's name.
        task: the task's kind.
        metric: the metric that is the score.
        split: the scored rows.
        machine: from :func:`distill.evaluation.machine.machine`, with ``threads``.
        real_lengths: see :class:`RealLengths`.
        reference: a model without a score that all are compared with too; ``speed`` has its times.
        confusion: of the final model.
        disagreement: of the final model with the teacher.

    Returns:
        The content of ``results.json``.

    Raises:
        ValueError: there is no model named ``teacher``, or two have the same name.
    """
    names = [model.name for model in models]
    if TEACHER not in names or len(set(names)) != len(names):
        raise ValueError(f"models need distinct names with '{TEACHER}' among them, not {names}")
    ordered = sorted(models, key=_rank)
    teacher = next(model for model in models if model.name == TEACHER)
    first = teacher.scores[metric]
    rows = []
    for model in ordered:
        score = model.scores[metric]
        retention = score / first if first > 0 else None
        against = None if reference is None else _ratios(model, reference, speed)
        rows.append(
            {
                **_row(model, speed),
                "score": score,
                "retention": retention,
                "ratios": _ratios(model, teacher, speed),
                "against": against,
            }
        )
    head = {"schema": 2, "recipe": recipe, "task": task, "metric": metric, "split": split}
    results = {
        **head,
        "machine": dict(machine) | _fewer_calls(speed),
        "models": rows,
        "real_lengths": real_lengths,
        "reference": _reference(reference, speed),
        "confusion": confusion,
        "disagreement": disagreement,
    }
    return Results.model_validate(results).model_dump(by_alias=True, mode="json")


def _row(model: ModelFacts, speed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is told of a model by itself."""
    return {
        **{key: getattr(model, key) for key in ("name", "stage", "format", *_COSTS, "memory_mb")},
        "scores": dict(model.scores),
        "more_scores": {name: dict(found) for name, found in model.more_scores.items()},
        "calibration": model.calibration,
        "label_scores": dict(model.label_scores),
        "thresholds": dict(model.thresholds),
        **_times(model, speed),
    }


def _times(model: ModelFacts, speed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    times = speed.get(model.name, {})
    return {name: dict(times.get(name, {})) for name in ("latency_ms", "throughput")}


def _reference(
    model: ModelFacts | None, speed: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    if model is None:
        return None
    named = {key: getattr(model, key) for key in ("name", "format", *_COSTS)}
    return {**named, **_times(model, speed)}


_COSTS = ("parameters", "parameters_no_embeddings", "macs", "bytes")


def _rank(model: ModelFacts) -> int:
    if model.name == LINEAR:
        return -1
    if is_teacher(model.name):
        return 0 if model.name == TEACHER else 1
    if model.name == BASELINE:
        return 2
    return 3 if model.format == "transformers" else 4


def _ratios(
    model: ModelFacts, one: ModelFacts, speed: Mapping[str, Mapping[str, Any]]
) -> dict[str, float | None]:
    """How much smaller and faster a model is than the one that is 1x."""
    times, base = _times(model, speed), _times(one, speed)
    shared = set(times["latency_ms"]) & set(base["latency_ms"])
    alone, many = latency_cell(shared), throughput_cell(shared)
    latency = throughput = None
    if alone is not None and many is not None:
        latency = base["latency_ms"][alone]["p50"] / times["latency_ms"][alone]["p50"]
        throughput = times["throughput"][many] / base["throughput"][many]
    return {"size": one.bytes / model.bytes, "latency": latency, "throughput": throughput}


def _fewer_calls(speed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Timed calls of every cell, and the models that had fewer of them."""
    counts = {name: dict(times.get("calls", {})) for name, times in speed.items()}
    most = max((n for cells in counts.values() for n in cells.values()), default=0)
    if not most:
        return {}
    fewer = {
        name: {cell: n for cell, n in cells.items() if n < most} for name, cells in counts.items()
    }
    return {"timed_calls": most, "fewer_calls": {k: v for k, v in fewer.items() if v}}
