r"""Numbers over seeds: mean, sample standard deviation, and every model of runs that differ in it.

For values :math:`x_1 \dots x_n` the mean is :math:`\bar x = \sum x_i / n` and the sample standard
deviation :math:`s = \sqrt{\sum (x_i - \bar x)^2 / (n - 1)}`, which one value alone has not.
Importing this module loads neither torch nor numpy.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field

from distill.evaluation.cells import latency_cell, split_cell
from distill.evaluation.parts import Part
from distill.evaluation.results import ModelRow, Results, is_student

#: On an idle machine the 95th percentile is 5 to 30 % above the median.
DISTURBED = 2.0


class Spread(Part):
    """A number over seeds."""

    mean: float
    """Over the seeds that have a value."""
    deviation: float | None
    """The sample standard deviation; ``None`` of one value alone."""
    n: int
    """How many values there are."""
    values: dict[int, float]
    """By seed."""


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; ``None`` below one value, and below two."""
    return (
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
    )


def spread(values: Mapping[int, float | None]) -> Spread | None:
    """The spread of values by seed; ``None`` where no seed has one.

    Example:
        >>> spread({1: 0.5, 2: 0.7, 3: None}).n
        2
    """
    there = {seed: value for seed, value in values.items() if value is not None}
    mean, deviation = mean_and_deviation(list(there.values()))
    if mean is None:
        return None
    return Spread(mean=mean, deviation=deviation, n=len(there), values=there)


class ModelSpread(Part):
    """One model in one format, over the seeds that made it."""

    name: str
    """As in the seeds' own results."""
    format: str
    """As there."""
    score: Spread
    """The task's metric on ``split``."""
    retention: Spread | None
    """Each seed's score by that of the same seed's teacher."""
    gain: Spread | None
    """Each seed's score minus that of the same seed's baseline; ``None`` of teacher and baseline,
    and without a baseline."""
    more_scores: dict[str, Spread] = Field(default_factory=dict)
    """The task's metric on each set of further examples (``data.more``), by its name."""
    bytes: Spread
    """Size of the weight file."""
    latency_ms: Spread | None
    """Median latency at ``cell``."""
    smaller: Spread
    """The teacher's bytes by the model's."""
    faster: Spread | None
    """The teacher's median latency by the model's."""
    superseded: bool = False
    """Whether the next model is this one trained further: its score may be that of a head that
    nothing has trained yet."""


class ModelTable(Part):
    """All models of a variant on a task whose trials were evaluated."""

    variant: str
    """The variant."""
    task: str
    """The task."""
    metric: str
    """The metric that ``score`` is."""
    split: str
    """The examples that were scored: ``test`` or ``validation``."""
    seeds: list[int] = Field(min_length=1)
    """Those that are done."""
    cell: str | None
    """Where ``latency_ms`` was measured: ``b1_l32`` is batch size 1 at 32 tokens."""
    disturbed: list[int] = Field(default_factory=list)
    """Seeds whose timing something else disturbed: a 95th percentile above twice a median, or other
    programs that kept the processor busy."""
    models: list[ModelSpread] = Field(min_length=1)
    """As in the first seed's results; what only other seeds made comes last."""

    @property
    def final(self) -> ModelSpread:
        """The last model that every seed has made; else the last."""
        whole = [row for row in self.models if row.score.n == len(self.seeds)]
        return (whole or self.models)[-1]


def model_table(variant: str, task: str, found: Mapping[int, Results]) -> ModelTable:
    """The table of a variant's results on a task by seed, at least one."""
    first = next(iter(found.values()))
    timed = [set(row.latency_ms) for results in found.values() for row in results.models]
    cells = [cells for cells in timed if cells]  # an ensemble is not timed
    cell = latency_cell(set.intersection(*cells)) if cells else None
    names = dict.fromkeys(row.name for results in found.values() for row in results.models)
    return ModelTable(
        variant=variant,
        task=task,
        metric=first.metric,
        split=first.split,
        seeds=list(found),
        cell=cell,
        disturbed=[
            seed
            for seed, results in found.items()
            if disturbed(results) or results.machine.get("busy_percent")
        ],
        models=[_row(name, found, cell) for name in names],
    )


def _row(name: str, found: Mapping[int, Results], cell: str | None) -> ModelSpread:
    there = {
        seed: row for seed, results in found.items() for row in results.models if row.name == name
    }
    first, metric = next(iter(there.values())), next(iter(found.values())).metric

    def over(read: Callable[[ModelRow], float | None]) -> Spread | None:
        return spread({seed: read(row) for seed, row in there.items()})

    def always(read: Callable[[ModelRow], float]) -> Any:
        return over(read)  # never `None`: a row is there, and has the value

    gains = {seed: _gain(row, found[seed].baseline) for seed, row in there.items()}
    return ModelSpread(
        name=name,
        format=first.format,
        score=always(lambda row: row.score),
        retention=over(lambda row: row.retention),
        gain=spread(gains),
        more_scores={
            one: always(lambda row, one=one: row.more_scores[one][metric])  # type: ignore[misc]
            for one in first.more_scores
        },
        bytes=always(lambda row: row.bytes),
        latency_ms=over(lambda row: row.latency_ms[cell].p50 if cell in row.latency_ms else None),
        smaller=always(lambda row: row.ratios.size),
        faster=over(lambda row: row.ratios.latency),
        superseded=any(found[seed].is_superseded(row) for seed, row in there.items()),
    )


def disturbed(results: Results) -> list[str]:
    """Models whose slowest calls took far longer than the median ones: something else ran too."""
    # Real rows are of many lengths: there a long call means nothing.
    cell = latency_cell({cell for cell in results.one.latency_ms if split_cell(cell)[1]})
    times = {row.name: row.latency_ms[cell] for row in results.models if cell in row.latency_ms}
    return [name for name, time in times.items() if time.p95 > DISTURBED * time.p50]


def _gain(row: ModelRow, baseline: ModelRow | None) -> float | None:
    if baseline is None or not is_student(row.name):
        return None
    return row.score - baseline.score
