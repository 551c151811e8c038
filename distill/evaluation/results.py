"""``results.json``: one set of numbers behind the table, the report and the model card.

The format is told in ``docs/results.md``. Importing this module loads neither torch nor numpy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distill import atomic
from distill.errors import RunFolderError

TEACHER = "teacher"
BASELINE = "baseline"
_CELL = re.compile(r"b(\d+)_l(\d+)")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Latency(_Part):
    """Milliseconds of one call."""

    p50: float
    """The median."""
    p95: float
    """Nineteen of twenty calls took no longer."""


class Ratios(_Part):
    """How many times better than the teacher in PyTorch eager; ``None`` where not measured."""

    size: float
    """The teacher's bytes by the model's: 6.0 is six times smaller."""
    latency: float | None
    """The teacher's median latency by the model's, at the smallest batch size and length."""
    throughput: float | None
    """The model's throughput by the teacher's, at the largest batch size and smallest length."""


class ModelRow(_Part):
    """One model in one format."""

    name: str
    """``teacher``, ``baseline``, the stage's name, or the format's for an exported model."""
    stage: str
    """The stage that made it."""
    format: str
    """``transformers`` (PyTorch eager, fp32), ``onnx`` or ``onnx-int8``."""
    score: float
    """The task's metric on ``split``."""
    retention: float | None
    """``score`` by the teacher's; ``None`` where the teacher's is not above 0."""
    scores: dict[str, float]
    """Every metric of the task."""
    parameters: int
    """Numbers kept; shared tensors count once."""
    parameters_no_embeddings: int
    """The same without the embedding tables."""
    macs: int
    """Multiply-accumulates of one example at the smallest timed length; FLOPs are twice that."""
    bytes: int
    """Size of the weight file."""
    ratios: Ratios
    """Against the teacher."""
    latency_ms: dict[str, Latency]
    """By cell: ``b1_l32`` is batch size 1 at 32 tokens."""
    throughput: dict[str, float]
    """Examples per second at the median, by cell."""


class Results(_Part):
    """All models of a run."""

    version: Literal[1] = Field(alias="schema", description="The version of this format.")
    recipe: str
    """The recipe's name."""
    task: str
    """The task's kind."""
    metric: str
    """The metric that ``score`` is."""
    split: str
    """The rows that were scored: ``test`` or ``validation``."""
    machine: dict[str, Any]
    """Processor, versions, threads, and calls that were left out."""
    models: list[ModelRow] = Field(min_length=1)
    """Teacher, baseline, students stage by stage, exported formats."""

    @property
    def teacher(self) -> ModelRow:
        """The model that ratios and retention refer to."""
        return next((row for row in self.models if row.name == TEACHER), self.models[0])

    @property
    def baseline(self) -> ModelRow | None:
        """The student trained on labels only, where there is one."""
        return next((row for row in self.models if row.name == BASELINE), None)

    @property
    def final(self) -> ModelRow:
        """The last model: the smallest and fastest that the run made."""
        return self.models[-1]

    def is_superseded(self, row: ModelRow) -> bool:
        """Whether the next row is the same model trained further, so that this one is on its way.

        The score of such a row can be that of an untrained head (inner layers are matched first).
        """
        if row.name in (TEACHER, BASELINE):
            return False
        after = dict(zip([r.name for r in self.models], self.models[1:], strict=False))
        following = after.get(row.name)
        return following is not None and (row.parameters, row.format) == (
            following.parameters,
            following.format,
        )


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
        macs: at the smallest timed length.
        bytes: of this format's file.
    """

    name: str
    stage: str
    format: str
    scores: Mapping[str, float]
    parameters: int
    parameters_no_embeddings: int
    macs: int
    bytes: int


def build_results(
    models: Sequence[ModelFacts],
    speed: Mapping[str, Mapping[str, Any]],
    *,
    recipe: str,
    task: str,
    metric: str,
    split: str,
    machine: Mapping[str, Any],
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
                **{key: asdict(model)[key] for key in ("name", "stage", "format")},
                "score": score,
                "retention": score / first if first > 0 else None,
                "scores": dict(model.scores),
                **{key: getattr(model, key) for key in _COSTS},
                "ratios": _ratios(model, teacher, times, speed.get(TEACHER, {})),
                "latency_ms": dict(times.get("latency_ms", {})),
                "throughput": dict(times.get("throughput", {})),
            }
        )
    head = {"schema": 1, "recipe": recipe, "task": task, "metric": metric, "split": split}
    results = {**head, "machine": dict(machine) | _fewer_calls(speed), "models": rows}
    return Results.model_validate(results).model_dump(by_alias=True, mode="json")


_COSTS = ("parameters", "parameters_no_embeddings", "macs", "bytes")


def _rank(model: ModelFacts) -> int:
    if model.name in (TEACHER, BASELINE):
        return (TEACHER, BASELINE).index(model.name)
    return 2 if model.format == "transformers" else 3


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


def split_cell(cell: str) -> tuple[int, int]:
    """Batch size and length of a key such as ``b1_l32``."""
    match = _CELL.fullmatch(cell)
    if match is None:
        raise ValueError(f"'{cell}' is not of the form b1_l32")
    return int(match[1]), int(match[2])


def latency_cell(cells: Sequence[str] | set[str]) -> str | None:
    """The cell that latencies are told at: the smallest length, then the smallest batch size."""
    return min(cells, key=lambda cell: split_cell(cell)[::-1], default=None)


def throughput_cell(cells: Sequence[str] | set[str]) -> str | None:
    """The cell that throughputs are told at: the smallest length, then the largest batch size."""

    def order(cell: str) -> tuple[int, int]:
        batch, length = split_cell(cell)
        return length, -batch

    return min(cells, key=order, default=None)


def as_results(results: Results | Mapping[str, Any]) -> Results:
    """Results as their model, whichever way they came."""
    return results if isinstance(results, Results) else Results.model_validate(results)


def write_results(path: Path, results: Results | Mapping[str, Any]) -> None:
    """Check results and write them whole or not at all."""
    atomic.write_json(path, as_results(results).model_dump(by_alias=True, mode="json"))


def read_results(run: Path) -> Results:
    """Read the results of a run.

    Args:
        run: the run folder.

    Raises:
        RunFolderError: it is not a run folder, has no results yet, or they cannot be read.
    """
    if not (run / "recipe.yaml").is_file():
        raise RunFolderError(f"{run}: {_not_a_run(run)}")
    path = run / "results.json"
    if not path.is_file():
        raise RunFolderError(f"{run}: no results yet; run `distill resume {run}` first")
    try:
        return Results.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, ValidationError) as error:
        fault = str(error).splitlines()[0]
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise RunFolderError(
            f"{path}: not a results file of this version ({fault}); "
            f"measure again: distill evaluate {run} --rerun"
        ) from None


def _not_a_run(run: Path) -> str:
    if not run.exists():
        return "no such folder; `distill run RECIPE --run-dir DIR` makes a run"
    if not run.is_dir():
        return "a file, not a run folder; name the folder that `distill run` wrote"
    return "not a run folder (it has no recipe.yaml); name the folder that `distill run` wrote"
