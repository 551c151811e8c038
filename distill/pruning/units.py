"""Heads, neurons and hidden width: judged, chosen, cut out, repaired; at once or in rounds.

What is left are shares or what keeps a budget.

Legend: L length, D hidden, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from transformers import PreTrainedModel

from distill.pruning.bench import Bench, Pruned
from distill.pruning.latency import LatencyTable, latency_table, measured_ms
from distill.pruning.mask_gradients import MaskGradients, rearrange
from distill.pruning.masks import Masks, head_dim, layer_sizes
from distill.pruning.methods.units import InRounds, UnitPrune, WithWidth
from distill.pruning.reconstruct import reconstruct
from distill.pruning.search import (
    Cost,
    Counts,
    Scores,
    keep_counts,
    keep_within,
    left_of,
    on_one_scale,
)
from distill.pruning.surgery import slice_model
from distill.pruning.width import slice_width
from distill.section import TrainConfig
from distill.system.processor import physical_cores
from students.anatomy import anatomy

#: A latency this much above the one asked for is within what timing can tell.
_SLACK = 1.03
_TIMINGS = 3


def progress(schedule: str, done: int, rounds: int) -> float:
    r"""The part of the removal that is done after so many rounds, 0 to 1.

    ``linear``: :math:`r/n`; ``agp``: :math:`1 - (1 - r/n)^3`, most of it while there is much to
    choose from. These are the formulas of NNI's ``LinearPruner`` and ``AGPPruner``.

    Reference:
        Zhu and Gupta 2017, To prune, or not to prune, equation 1.
    """
    part = done / rounds
    return 1.0 - (1.0 - part) ** 3 if schedule == "agp" else part


@dataclass(frozen=True)
class ShareGoal:
    """Remove shares of the heads and neurons there were at the beginning."""

    sizes: tuple[list[int], list[int]]  # heads and neurons of every layer then
    heads: float
    ffn: float
    uniform: bool  # of every layer, or of all together

    def masks(self, scores: Scores, part: float) -> Masks:
        """What is kept when ``part`` of what the goal removes is gone."""
        heads, ffn = (
            left_of(sizes, share * part, uniform=self.uniform)
            for sizes, share in zip(self.sizes, (self.heads, self.ffn), strict=True)
        )
        return Masks(keep_counts(scores.heads, heads), keep_counts(scores.ffn, ffn))


@dataclass(frozen=True)
class BudgetGoal:
    """Keep what matters most within a budget."""

    sizes: tuple[list[int], list[int]]  # heads and neurons of every layer at the beginning
    cost: Cost  # what a model of given sizes costs
    budget: float  # the most it may cost in the end
    uniform: bool  # leave every layer the same size
    #: whether the scores only rank units of a kind within a layer (``l1``, ``movement``), and do
    #: not say what a head is worth in neurons
    ranked: bool

    @property
    def whole(self) -> float:
        """What the model costs at the beginning."""
        return self.cost(*map(np.asarray, self.sizes))

    def masks(self, scores: Scores, part: float) -> Masks:
        if self.ranked:
            heads, ffn = map(np.asarray, self.sizes)
            head = (self.whole - self.cost(0 * heads, ffn)) / max(1, int(heads.sum()))
            neuron = (self.whole - self.cost(heads, 0 * ffn)) / max(1, int(ffn.sum()))
            scores = on_one_scale(scores, head=head, neuron=neuron)
        budget = self.whole - part * max(0.0, self.whole - self.budget)
        return keep_within(scores, cost=self.cost, budget=budget, uniform=self.uniform)


#: Chooses what is kept of a model, which may have gone part of the way already.
Goal = ShareGoal | BudgetGoal


@dataclass(frozen=True)
class LinearCost:
    """A cost that each head and each neuron adds the same to, in whatever layer.

    ``fixed`` is what is left when every layer is empty.
    """

    head: float
    neuron: float
    fixed: float = 0.0

    def __call__(self, heads: Counts, ffn: Counts) -> float:
        """The cost of an encoder with so many heads and neurons in each layer."""
        return self.fixed + self.head * float(heads.sum()) + self.neuron * float(ffn.sum())


def macs_cost(model: PreTrainedModel, length: int) -> LinearCost:
    r"""Multiply-accumulates of the encoder for one example of L tokens.

    A head: :math:`4 L D d` in its projections and :math:`2 L^2 d` in attention; a neuron:
    :math:`2 L D`. The counting is that of :func:`distill.evaluation.cost.macs`, without the head
    of the model.
    """
    hidden, width = int(model.config.hidden_size), head_dim(model)
    return LinearCost(
        head=4.0 * length * hidden * width + 2.0 * length * length * width,
        neuron=2.0 * length * hidden,
    )


def parameters_cost(model: PreTrainedModel) -> LinearCost:
    """Parameters of the encoder's layers: no embeddings, no pooler, no head of the model."""
    hidden, width = int(model.config.hidden_size), head_dim(model)
    head, neuron = 4.0 * hidden * width + 3.0 * width, 2.0 * hidden + 1.0
    heads, ffn = layer_sizes(model)
    total = sum(parameter.numel() for parameter in anatomy(model).layers.parameters())
    return LinearCost(head, neuron, fixed=total - head * sum(heads) - neuron * sum(ffn))


@dataclass(frozen=True)
class Judged:
    """A model and what its units are worth."""

    model: PreTrainedModel  # the model, which judging may have trained
    scores: Scores  # importance of every head and neuron
    #: by which units are swapped within a layer, where there are any
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
