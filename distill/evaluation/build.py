"""Puts scores, costs and speeds together into results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from distill.evaluation.cells import latency_cell, throughput_cell
from distill.evaluation.results import (
    BASELINE,
    LINEAR,
    TEACHER,
    Latency,
    ModelRow,
    Ratios,
    Reference,
    Results,
    is_teacher,
)

Speed = Mapping[str, Mapping[str, Any]]
_Model = TypeVar("_Model", ModelRow, Reference)


def build_results(
    models: Sequence[ModelRow],
    speed: Speed,
    *,
    machine: Mapping[str, Any],
    reference: Reference | None = None,
    **facts: Any,
) -> Results:
    """Put scores, costs and speeds together; retention and ratios refer to the teacher.

    Where the teacher is a file, ratios refer to the first student: see :attr:`Results.one`.

    Args:
        models: scored and weighed, without speed, retention and ratios; the linear model, the
            teacher and the baseline are put first, exports last.
        speed: by model name, from :func:`distill.evaluation.speed.measure`.
        machine: from :func:`distill.evaluation.machine.machine`, with ``threads``.
        reference: a model without a score that all are compared with too; ``speed`` has its times.
        **facts: the other fields of :class:`Results`: ``recipe``, ``task``, ``metric``, ``split``,
            and what is known of ``real_lengths``, ``confusion``, ``disagreement`` and ``targets``.

    Raises:
        ValueError: two models have the same name.
    """
    names = [model.name for model in models]
    if len(set(names)) != len(names):
        raise ValueError(f"models need distinct names, not {names}")
    timed = [_timed(model, speed) for model in sorted(models, key=_rank)]
    other = None if reference is None else _timed(reference, speed)
    busy = [times["busy_percent"] for times in speed.values() if "busy_percent" in times]
    machine = dict(machine) | ({"busy_percent": max(busy)} if busy else {}) | _fewer_calls(speed)
    results = Results(machine=machine, models=timed, reference=other, **facts)
    one, whole = results.one, results.teacher_score
    rows = [
        model.model_copy(
            update={
                "retention": model.score / whole if whole is not None and whole > 0 else None,
                "ratios": _ratios(model, one),
                "against": None if other is None else _ratios(model, other),
            }
        )
        for model in timed
    ]
    return results.model_copy(update={"models": rows})


def _timed(model: _Model, speed: Speed) -> _Model:
    times = speed.get(model.name, {})
    latencies = {cell: Latency(**found) for cell, found in times.get("latency_ms", {}).items()}
    throughput = dict(times.get("throughput", {}))
    return model.model_copy(update={"latency_ms": latencies, "throughput": throughput})


def _rank(model: ModelRow) -> int:
    if model.name == LINEAR:
        return -1
    if is_teacher(model.name):
        return 0 if model.name == TEACHER else 1
    if model.name == BASELINE:
        return 2
    return 3 if model.format == "transformers" else 4


def _ratios(model: ModelRow, one: ModelRow | Reference) -> Ratios:
    shared = set(model.latency_ms) & set(one.latency_ms)
    alone, many = latency_cell(shared), throughput_cell(shared)
    latency = throughput = None
    if alone is not None and many is not None:
        latency = one.latency_ms[alone].p50 / model.latency_ms[alone].p50
        throughput = model.throughput[many] / one.throughput[many]
    return Ratios(size=one.bytes / model.bytes, latency=latency, throughput=throughput)


def _fewer_calls(speed: Speed) -> dict[str, Any]:
    """Timed calls of every cell, and the models that had fewer of them."""
    counts = {name: dict(times.get("calls", {})) for name, times in speed.items()}
    most = max((n for cells in counts.values() for n in cells.values()), default=0)
    if not most:
        return {}
    fewer = {
        name: {cell: n for cell, n in cells.items() if n < most} for name, cells in counts.items()
    }
    return {"timed_calls": most, "fewer_calls": {k: v for k, v in fewer.items() if v}}
