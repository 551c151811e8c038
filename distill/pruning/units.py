"""Heads, neurons and hidden width: judged, chosen, cut out, repaired; at once or in rounds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from transformers import PreTrainedModel

from distill.pruning.bench import Bench, Pruned
from distill.pruning.goal import (
    BudgetGoal,
    Goal,
    ShareGoal,
    macs_cost,
    parameters_cost,
    progress,
)
from distill.pruning.latency import LatencyTable, latency_table, measured_ms
from distill.pruning.mask_gradients import MaskGradients, rearrange
from distill.pruning.masks import Masks, layer_sizes
from distill.pruning.methods.units import InRounds, UnitPrune, WithWidth
from distill.pruning.reconstruct import reconstruct
from distill.pruning.search import Scores
from distill.pruning.surgery import slice_model
from distill.pruning.width import slice_width
from distill.section import TrainConfig
from distill.system.processor import physical_cores

#: A latency this much above the one asked for is within what timing can tell.
_SLACK = 1.03
_TIMINGS = 3


@dataclass(frozen=True)
class Judged:
    """A model and what its units are worth.

    Args:
        model: the model, which judging may have trained.
        scores: importance of every head and neuron.
        gradients: by which units are swapped within a layer, where there are any.
    """

    model: PreTrainedModel
    scores: Scores
    gradients: MaskGradients | None = None

    def masks(self, goal: Goal, part: float) -> Masks:
        """What is kept when ``part`` of what the goal removes is gone."""
        masks = goal.masks(self.scores, part)
        return masks if self.gradients is None else rearrange(masks, self.gradients)


def prune_units(config: UnitPrune, student: PreTrainedModel, bench: Bench, ease: float) -> Pruned:
    """Remove the part ``ease`` of the heads, neurons and hidden dimensions that a section names.

    Returns:
        The model before its last recovery, and what became of the budget.
    """
    run = _Run(config, bench, _goal(config, student, bench), int(student.config.hidden_size))
    current = student
    for done in range(1, config.rounds):
        current = run.round(current, done, ease)
    if isinstance(run.goal, BudgetGoal) and isinstance(run.goal.cost, LatencyTable):
        judged = config.judge(current, bench)
        return run.timed(student, judged, run.goal, run.goal.cost, ease)
    smaller = run.smaller(current, ease)
    return Pruned(smaller, _budget_facts(run.goal, config, smaller, ease))


@dataclass(frozen=True)
class _Run:
    """One pruning by units."""

    config: UnitPrune
    bench: Bench
    goal: Goal
    width: int  # the hidden one at the beginning

    def smaller(self, current: PreTrainedModel, part: float) -> PreTrainedModel:
        """Cut until ``part`` of what was asked for is gone, counted from the beginning."""
        if self.config.removes_units:
            current = self.cut(self.config.judge(current, self.bench), self.goal, part)
        if isinstance(self.config, WithWidth) and self.config.narrows:
            left = self.config.width_left(self.width, part)
            current = slice_width(current, self.config.judge_width(current, self.bench).keep(left))
        return current

    def cut(self, judged: Judged, goal: Goal, part: float) -> PreTrainedModel:
        """Cut a judged model, and fit what is left."""
        sliced, repair = slice_model(judged.model, judged.masks(goal, part)), self.config.repair
        if repair != "none":
            batches = self.bench.batches(self.config.batch_size)
            reconstruct(sliced, judged.model, batches, how=repair)
        return sliced

    def round(self, current: PreTrainedModel, done: int, ease: float) -> PreTrainedModel:
        """One round of a schedule with its recovery, or what it left when it was done before."""
        schedule = self.config.schedule if isinstance(self.config, InRounds) else "one-shot"
        part = ease * progress(schedule, done, self.config.rounds)
        recover = (self.config.recover or TrainConfig()).model_copy(update={"epochs": 1})
        return self.bench.recovered(done, partial(self.smaller, current, part), recover)

    def timed(
        self,
        student: PreTrainedModel,
        judged: Judged,
        goal: BudgetGoal,
        table: LatencyTable,
        ease: float,
    ) -> Pruned:
        """Cut, time the model that came out, and cut more where the table was too hopeful.

        The student before is timed beside it, and what the two together say of the table is its
        correction.
        """
        sliced = self.cut(judged, goal, ease)
        for left in range(_TIMINGS - 1, -1, -1):
            times = measured_ms(
                {"before": student, "after": sliced}, length=table.length, threads=table.threads
            )
            asked = times["before"] - ease * max(0.0, times["before"] - goal.budget)
            if times["after"] <= asked * _SLACK or not left:
                break
            predicted = table(*(np.asarray(sizes) for sizes in layer_sizes(sliced)))
            table = replace(table, correction=table.correction * times["after"] / predicted)
            goal = replace(goal, cost=table)
            sliced = self.cut(judged, goal, ease)
        budget = {
            "kind": "latency_ms",
            "asked": round(asked, 4),
            "reached": round(times["after"], 4),
            "before": round(times["before"], 4),
            "length": table.length,
            "threads": table.threads,
        }
        return Pruned(sliced, {"budget": budget})


def _goal(config: UnitPrune, student: PreTrainedModel, bench: Bench) -> Goal:
    sizes, budget = layer_sizes(student), config.budget
    if budget is None:
        heads, ffn = config.shares
        return ShareGoal(sizes, heads, ffn, uniform=config.even)
    length = budget.length or bench.mean_length
    if budget.latency_ms is not None:
        threads, file = budget.threads or physical_cores(), bench.folder / "latency.json"
        table = latency_table(student, length=length, threads=threads, file=file)
        return BudgetGoal(sizes, table, budget.latency_ms, config.even, config.ranks_only)
    if budget.parameters is not None:
        cost, part = parameters_cost(student), budget.parameters
    else:
        cost, part = macs_cost(student, length), budget.macs or 1.0
    whole = BudgetGoal(sizes, cost, 0.0, config.even, config.ranks_only)
    return replace(whole, budget=part * whole.whole)


def _budget_facts(
    goal: Goal, config: UnitPrune, model: PreTrainedModel, ease: float
) -> dict[str, object]:
    if not isinstance(goal, BudgetGoal) or config.budget is None:
        return {}
    heads, ffn = (np.asarray(sizes) for sizes in layer_sizes(model))
    kind = "macs" if config.budget.macs is not None else "parameters"
    asked = (goal.whole - ease * (goal.whole - goal.budget)) / goal.whole
    reached = goal.cost(heads, ffn) / goal.whole
    return {"budget": {"kind": kind, "asked": round(asked, 4), "reached": round(reached, 4)}}
