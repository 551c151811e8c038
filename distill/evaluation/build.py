"""Puts scores, costs and speeds together into results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distill.evaluation.cells import latency_cell, throughput_cell
from distill.evaluation.parts import Calibration, Confusion, Disagreement, LabelScore
from distill.evaluation.results import BASELINE, TEACHER, Results, is_teacher


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
        models: one for each row; the teacher and the baseline are put first, exports last.
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
    teacher = ordered[0]
    rows = []
    for model in ordered:
        times = speed.get(model.name, {})
        first, score = teacher.scores[metric], model.scores[metric]
        rows.append(
            {
                **{key: getattr(model, key) for key in ("name", "stage", "format")},
                "score": score,
                "retention": score / first if first > 0 else None,
                "scores": dict(model.scores),
                "more_scores": {name: dict(found) for name, found in model.more_scores.items()},
                **{key: getattr(model, key) for key in _COSTS},
                "ratios": _ratios(model, teacher, times, speed.get(TEACHER, {})),
                "latency_ms": dict(times.get("latency_ms", {})),
                "throughput": dict(times.get("throughput", {})),
                "memory_mb": model.memory_mb,
                "calibration": model.calibration,
                "label_scores": dict(model.label_scores),
                "against": (
                    _ratios(model, reference, times, speed.get(reference.name, {}))
                    if reference is not None
                    else None
                ),
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


def _reference(
    model: ModelFacts | None, speed: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    if model is None:
        return None
    times = speed.get(model.name, {})
    return {
        **{key: getattr(model, key) for key in ("name", "format", *_COSTS)},
        "latency_ms": dict(times.get("latency_ms", {})),
        "throughput": dict(times.get("throughput", {})),
    }


_COSTS = ("parameters", "parameters_no_embeddings", "macs", "bytes")


def _rank(model: ModelFacts) -> int:
    if is_teacher(model.name):
        return 0 if model.name == TEACHER else 1
    if model.name == BASELINE:
        return 2
    return 3 if model.format == "transformers" else 4


def _ratios(
    model: ModelFacts,
    teacher: ModelFacts,
    times: Mapping[str, Any],
    teacher_times: Mapping[str, Any],
) -> dict[str, float | None]:
    shared = set(times.get("latency_ms", {})) & set(teacher_times.get("latency_ms", {}))
    alone, many = latency_cell(shared), throughput_cell(shared)
    latency = throughput = None
    if alone is not None and many is not None:
        latency = teacher_times["latency_ms"][alone]["p50"] / times["latency_ms"][alone]["p50"]
        throughput = times["throughput"][many] / teacher_times["throughput"][many]
    return {"size": teacher.bytes / model.bytes, "latency": latency, "throughput": throughput}


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
