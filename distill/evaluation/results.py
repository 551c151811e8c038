"""``results.json``: one set of numbers behind the table, the report and the model card.

The format is described in ``docs/results.md``. Importing this module loads neither torch nor numpy.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from distill.evaluation.parts import Calibration, Confusion, Disagreement, LabelScore, Part
from distill.recipe.run_models import has_stage, trial_of_study
from distill.recipe.schema import Limits
from distill.system import atomic
from distill.system.errors import RunFolderError, quoted

#: The row of what needs no neural network: nothing below it is worth shipping.
LINEAR = "linear"
#: What the commonest label alone scores: no row of the table, only compared with.
MAJORITY = "majority"
TEACHER = "teacher"
BASELINE = "baseline"
#: The row of several teachers' averaged logits.
TEACHERS = "teachers"
_TEACHERS = re.compile(r"teacher(s|-\d+)?")


def is_teacher(name: str) -> bool:
    """Whether a row is a teacher: the first, a further one, or the average of several."""
    return _TEACHERS.fullmatch(name) is not None


def is_student(name: str) -> bool:
    """Whether a row is on the way to the final model: a student, or an exported format of it."""
    return name not in (LINEAR, BASELINE) and not is_teacher(name)


class Latency(Part):
    """Milliseconds of one call."""

    p50: float
    """The median."""
    p95: float
    """Nineteen of twenty calls took no longer."""


class Ratios(Part):
    """How many times better than another model in PyTorch eager; ``None`` where not measured."""

    size: float
    """The other's bytes by the model's: 6.0 is six times smaller."""
    latency: float | None = None
    """The other's median latency by the model's, where :func:`latency_cell` says."""
    throughput: float | None = None
    """The model's throughput by the other's, where :func:`throughput_cell` says."""


class RealLengths(Part):
    """Lengths of the rows that cells such as ``b1_real`` were timed on, in tokens."""

    rows: int
    """How many there are; their lengths were sampled evenly from the shortest to the longest."""
    mean: float
    """The mean."""
    p50: int
    """The median."""
    p95: int
    """Nineteen of twenty are no longer."""
    longest: int
    """The longest."""


class Reference(Part):
    """A second model to compare speed and size with: a known shape with random weights."""

    name: str
    """Such as ``bert-base``."""
    format: str
    """How it ran: ``transformers`` is PyTorch eager, fp32."""
    parameters: int
    """As of a model."""
    parameters_no_embeddings: int
    """As of a model."""
    macs: int
    """As of a model, at the same length."""
    bytes: int
    """Of its weights in fp32."""
    latency_ms: dict[str, Latency] = Field(default_factory=dict)
    """By cell."""
    throughput: dict[str, float] = Field(default_factory=dict)
    """By cell."""


class ModelRow(Part):
    """One model in one format."""

    name: str
    """``linear``, ``teacher``, ``baseline``, the stage's name, or the format's of an export."""
    stage: str
    """The stage that made it."""
    format: str
    """``transformers`` (PyTorch eager, fp32), ``onnx`` or ``onnx-int8``; of ``linear`` what it is,
    such as ``tf-idf``."""
    score: float
    """The task's metric on ``split``."""
    interval: tuple[float, float] | None = None
    """The 95 % interval of ``score`` over other examples of the same kind, by the bootstrap."""
    retention: float | None = None
    """``score`` by the teacher's; ``None`` where that is not above 0, or not known."""
    scores: dict[str, float]
    """Every metric of the task."""
    more_scores: dict[str, dict[str, float]] = Field(default_factory=dict)
    """The same on each set of further examples (``data.more``), by its name."""
    parameters: int
    """Numbers kept; shared tensors count once."""
    parameters_no_embeddings: int
    """The same without the embedding tables."""
    macs: int
    """Multiply-accumulates of one example at the mean real length, or the smallest timed one;
    FLOPs are twice that."""
    bytes: int
    """Size of the weight file."""
    ratios: Ratios = Ratios(size=1.0)
    """Against the teacher; where that is a file, against the first student."""
    latency_ms: dict[str, Latency] = Field(default_factory=dict)
    """By cell: ``b1_l32`` is batch size 1 at 32 tokens."""
    throughput: dict[str, float] = Field(default_factory=dict)
    """Examples per second by cell: at the median, or over all calls at real lengths."""
    memory_mb: float | None = None
    """Peak resident memory of a fresh process that loads it and predicts, where it was measured."""
    against: Ratios | None = None
    """As ``ratios``, against ``reference``."""
    calibration: Calibration | None = None
    """Whether it is as often right as it says; of tasks with probabilities."""
    label_scores: dict[str, LabelScore] = Field(default_factory=dict)
    """How well each label is predicted; of tasks with labels."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """The probability above which each label is given, where there may be several."""


class TargetScores(Part):
    """What a teacher that ran elsewhere scores: there are its predictions and no model."""

    score: float
    """The task's metric on ``split``."""
    interval: tuple[float, float] | None = None
    """As of a model."""
    scores: dict[str, float]
    """Every metric of the task."""


class Change(Part):
    """By how much a model's score is other than another's on the same rows."""

    model: str
    """The later model."""
    than: str
    """The model that it is compared with: what it was made from, ``baseline``, ``linear``, or
    ``majority``, the training examples' commonest label."""
    change: float
    """Its score less the other's."""
    low: float
    """Where the 95 % interval of the difference begins, by the paired bootstrap."""
    high: float
    """Where it ends."""

    @property
    def beyond_noise(self) -> bool:
        """Whether the difference is more than chance: the interval does not hold 0."""
        return self.low > 0 or self.high < 0


class Results(Part):
    """All models of a run."""

    version: Literal[2] = Field(2, alias="schema", description="The version of this format.")
    recipe: str
    """The recipe's name."""
    task: str
    """The task's kind."""
    metric: str
    """The metric that ``score`` is."""
    split: str
    """The examples that were scored: ``test`` or ``validation``."""
    machine: dict[str, Any]
    """Processor, versions, threads, and calls that were left out."""
    models: list[ModelRow] = Field(min_length=1)
    """Linear, teacher, baseline, students stage by stage, exported formats."""
    changes: list[Change] = Field(default_factory=list)
    """Differences between models, with what of them may be chance."""
    real_lengths: RealLengths | None = None
    """Of the scored examples, where models were timed at real lengths."""
    reference: Reference | None = None
    """A second 1x, where the recipe asks for one."""
    confusion: Confusion | None = None
    """What the final model says instead of the true label; of one label an example."""
    disagreement: Disagreement | None = None
    """How often the final model and the teacher answer differently."""
    targets: TargetScores | None = None
    """The teacher, where it is a file with targets for the scored examples."""
    limits: Limits | None = None
    """What the final model is meant to keep, where the recipe says so."""

    @property
    def one(self) -> ModelRow:
        """The model that ratios refer to: the teacher; where that is a file, the first student."""
        rows = {row.name: row for row in self.models}
        students = (r for r in self.models if is_student(r.name) and not self.is_superseded(r))
        return rows.get(TEACHER) or next(students, self.models[-1])

    @property
    def teacher_score(self) -> float | None:
        """The score that retention refers to; ``None`` where no teacher was scored."""
        if self.targets is not None:
            return self.targets.score
        return self.one.score if self.one.name == TEACHER else None

    @property
    def linear(self) -> ModelRow | None:
        """What needs no neural network, where it was not left out."""
        return next((row for row in self.models if row.name == LINEAR), None)

    @property
    def baseline(self) -> ModelRow | None:
        """The student trained on labels only, where there is one."""
        return next((row for row in self.models if row.name == BASELINE), None)

    @property
    def final(self) -> ModelRow:
        """The last model: the smallest and fastest that the run made."""
        return self.models[-1]

    def change(self, model: str, than: str) -> Change | None:
        """The difference between two models, where they were compared."""
        return next((c for c in self.changes if (c.model, c.than) == (model, than)), None)

    def is_superseded(self, row: ModelRow) -> bool:
        """Whether the next row is the same model trained further, so that this one is on its way.

        The score of such a row can be that of an untrained head (inner layers are matched first).
        """
        if not is_student(row.name):
            return False
        after = dict(zip([r.name for r in self.models], self.models[1:], strict=False))
        following = after.get(row.name)
        return following is not None and (row.parameters, row.format) == (
            following.parameters,
            following.format,
        )


def write_results(path: Path, results: Results) -> None:
    """Write results whole or not at all."""
    atomic.write_json(path, results.model_dump(by_alias=True, mode="json"))


def read_results(run: Path) -> Results:
    """Read a run folder's results; a RunFolderError where there are none, or none to be read."""
    if trial := trial_of_study(run):
        raise RunFolderError(f"{run}: a study; name one of its runs, such as {trial}")
    if not (run / "recipe.yaml").is_file():
        raise RunFolderError(f"{run}: {_not_a_run(run)}")
    path = run / "results.json"
    if not path.is_file():
        if not has_stage(run, "evaluate"):
            raise RunFolderError(
                f"{run}: its recipe has no evaluate stage, so there are no scores; its losses are "
                f"in the report: distill report {quoted(run)}"
            )
        raise RunFolderError(f"{run}: no results yet; run `distill resume {quoted(run)}` first")
    try:
        return Results.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, ValidationError) as error:
        issue = str(error).splitlines()[0]
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            issue = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise RunFolderError(
            f"{path}: not a results file of this version ({issue}); "
            f"measure again: distill evaluate {quoted(run)} --rerun"
        ) from None


def _not_a_run(run: Path) -> str:
    if not run.exists():
        return "no such folder; `distill run RECIPE --run-dir DIR` makes a run"
    if not run.is_dir():
        return "a file, not a run folder; name the folder that `distill run` wrote"
    return "not a run folder (it has no recipe.yaml); name the folder that `distill run` wrote"
