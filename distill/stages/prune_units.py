"""Heads, neurons and hidden width: judged, chosen, cut out, repaired; at once or in rounds."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import PreTrainedModel

from distill.evaluation.machine import physical_cores
from distill.modules.base import Batch
from distill.modules.checkpoint import is_whole
from distill.modules.stream import endless_batches
from distill.pruning.costs import macs_cost, parameters_cost
from distill.pruning.goal import BudgetGoal, Goal, ShareGoal, progress
from distill.pruning.latency import LatencyTable, latency_table, measured_ms
from distill.pruning.mask_gradients import MaskGradients, mask_gradients, rearrange
from distill.pruning.masks import Masks, layer_sizes
from distill.pruning.nni_bridge import movement_scores
from distill.pruning.reconstruct import reconstruct
from distill.pruning.scores import l1_scores, taylor_scores
from distill.pruning.search import Scores
from distill.pruning.surgery import slice_model
from distill.pruning.width import slice_width, width_scores
from distill.recipe.schema import PruneStage, TrainConfig
from distill.recipe.schema.prune import SAMPLES, SCORE_STEPS, width_left
from distill.stages.context import StageContext
from distill.stages.distill import distil_logits, teacher_logits
from distill.stages.output_loss import output_loss
from teachers.load import load_model

logger = logging.getLogger("distill")

_MOVEMENT_LR = 5e-5
#: A latency this much above the one asked for is within what timing can tell.
_SLACK = 1.03
_TIMINGS = 3


@dataclass(frozen=True)
class UnitPruner:
    """Removes heads, neurons and hidden dimensions as a prune stage says.

    Args:
        config: the stage's settings.
        context: data, teacher and folders.
        folder: where models on the way are kept, for a run that is stopped.
    """

    config: PruneStage
    context: StageContext
    folder: Path

    def __call__(
        self, student: PreTrainedModel, ease: float
    ) -> tuple[PreTrainedModel, dict[str, Any]]:
        """Prune a student.

        Args:
            student: the model; left as it is.
            ease: the part of what the stage asks for that is removed, above 0 up to 1.

        Returns:
            The model before its last recovery, and what is told of the budget.
        """
        goal = self._goal(student)
        width = int(student.config.hidden_size)
        current = student
        rounds = self.config.rounds
        for done in range(1, rounds):
            current = self._round(current, goal, done, ease, width=width)
        if isinstance(goal, BudgetGoal) and isinstance(goal.cost, LatencyTable):
            judged = self._judge(current)
            return self._timed(student, judged, self._cut(judged, goal, ease), goal, ease)
        sliced = self._smaller(current, goal, ease, width=width)
        return sliced, _told(goal, self.config, sliced, ease)

    def _smaller(
        self, current: PreTrainedModel, goal: Goal, part: float, *, width: int
    ) -> PreTrainedModel:
        """Cut until ``part`` of what was asked for is gone, counted from the first ``width`` on."""
        if self.config.removes_units:
            current = self._cut(self._judge(current), goal, part)
        if self.config.hidden is not None:
            current = self._narrow(current, width_left(width, part * self.config.hidden))
        return current

    def _narrow(self, student: PreTrainedModel, left: int) -> PreTrainedModel:
        """Keep the best ``left`` dimensions of the hidden states."""
        targets = teacher_logits(self.context, self.context.load_teacher())
        config = self.config
        samples = config.samples or SAMPLES
        if config.method == "taylor":
            samples = (config.score_steps or SCORE_STEPS) * config.batch_size
        scores = width_scores(
            student,
            loss_of=output_loss(self.context.workspace.task, targets),
            batches=self._batches(),
            samples=min(samples, len(targets)),
        )
        return slice_width(student, scores.keep(left))

    def _timed(
        self,
        student: PreTrainedModel,
        judged: _Judged,
        sliced: PreTrainedModel,
        goal: BudgetGoal,
        ease: float,
    ) -> tuple[PreTrainedModel, dict[str, Any]]:
        """Time the model that came out; where the table was too hopeful, correct it and cut more.

        The student before is timed beside it, and what the two together say of the table is its
        correction.
        """
        table = cast(LatencyTable, goal.cost)
        for left in range(_TIMINGS - 1, -1, -1):
            told = measured_ms(
                {"before": student, "after": sliced}, length=table.length, threads=table.threads
            )
            asked = told["before"] - ease * max(0.0, told["before"] - goal.budget)
            if told["after"] <= asked * _SLACK or not left:
                break
            said = table(*(np.asarray(sizes) for sizes in layer_sizes(sliced)))
            table = replace(table, correction=table.correction * told["after"] / said)
            goal = replace(goal, cost=table)
            sliced = self._cut(judged, goal, ease)
        return sliced, {
            "budget": {
                "kind": "latency_ms",
                "asked": round(asked, 4),
                "reached": round(told["after"], 4),
                "before": round(told["before"], 4),
                "length": table.length,
                "threads": table.threads,
            }
        }

    def _round(
        self, current: PreTrainedModel, goal: Goal, done: int, ease: float, *, width: int
    ) -> PreTrainedModel:
        """One round of a schedule with its recovery, or what it left when it was done before."""
        folder = self.folder / f"round-{done}"
        if not is_whole(folder / "model" / "model.safetensors"):
            part_done = progress(self.config.schedule, done, self.config.rounds)
            sliced = self._smaller(current, goal, ease * part_done, width=width)
            recover = (self.config.recover or TrainConfig()).model_copy(update={"epochs": 1})
            part = folder.relative_to(self.context.folder)
            recovered, _ = distil_logits(
                self.context, sliced, recover, part=part, augmented=self.config.augmented
            )
            self.context.save_weights(recovered, folder / "model")
        logger.info("%s: round %d of %d", self.context.stage.name, done, self.config.rounds)
        return load_model(folder / "model")

    def _cut(self, judged: _Judged, goal: Goal, part: float) -> PreTrainedModel:
        sliced = slice_model(judged.model, judged.masks(goal, part))
        if self.config.repair != "none":
            reconstruct(sliced, judged.model, self._batches(), how=self.config.repair)
        return sliced

    def _judge(self, student: PreTrainedModel) -> _Judged:
        config = self.config
        if config.method == "l1":
            return _Judged(student, l1_scores(student))
        targets = teacher_logits(self.context, self.context.load_teacher())
        loss_of = output_loss(self.context.workspace.task, targets)
        batches = self._batches()
        if config.method == "fisher":
            samples = config.samples or SAMPLES
            gradients = mask_gradients(
                student, loss_of=loss_of, batches=batches, samples=min(samples, len(targets))
            )
            return _Judged(student, gradients.diagonal(), gradients)
        if config.method == "taylor":
            steps = config.score_steps or SCORE_STEPS
            scores = taylor_scores(student, loss_of=loss_of, batches=batches, steps=steps)
            return _Judged(student, scores)
        once = -(-len(targets) // config.batch_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.context.recipe.seed + self.context.stage.index)
            scores, trained = movement_scores(
                student,
                loss_of=loss_of,
                batches=batches,
                steps=config.score_steps or once,
                lr=config.recover.lr if config.recover else _MOVEMENT_LR,
            )
        return _Judged(trained, scores)

    def _goal(self, student: PreTrainedModel) -> Goal:
        config, sizes = self.config, layer_sizes(student)
        budget = config.budget
        if budget is None:
            heads, ffn = config.shares
            return ShareGoal(sizes, heads, ffn, uniform=config.even)
        ranked = config.method in ("l1", "movement")
        length = budget.length or self._mean_length()
        if budget.latency_ms is not None:
            table = latency_table(
                student,
                length=length,
                threads=budget.threads or physical_cores(),
                file=self.context.folder / "latency.json",
            )
            return BudgetGoal(sizes, table, budget.latency_ms, config.even, ranked)
        if budget.parameters is not None:
            cost, part = parameters_cost(student), budget.parameters
        else:
            cost, part = macs_cost(student, length), budget.macs or 1.0
        whole = BudgetGoal(sizes, cost, 0.0, config.even, ranked).whole
        return BudgetGoal(sizes, cost, part * whole, config.even, ranked)

    def _mean_length(self) -> int:
        workspace = self.context.workspace
        return max(1, round(float(workspace.tokenized(workspace.data.train).lengths.mean())))

    def _batches(self) -> Iterator[Batch]:
        return training_batches(self.context, self.config.batch_size)


@dataclass(frozen=True)
class _Judged:
    """A model and what its units are worth."""

    model: PreTrainedModel
    scores: Scores
    gradients: MaskGradients | None = None

    def masks(self, goal: Goal, part: float) -> Masks:
        masks = goal.masks(self.scores, part)
        return masks if self.gradients is None else rearrange(masks, self.gradients)


def _told(goal: Goal, config: PruneStage, model: PreTrainedModel, ease: float) -> dict[str, Any]:
    if not isinstance(goal, BudgetGoal) or config.budget is None:
        return {}
    heads, ffn = (np.asarray(sizes) for sizes in layer_sizes(model))
    kind = "macs" if config.budget.macs is not None else "parameters"
    asked = (goal.whole - ease * (goal.whole - goal.budget)) / goal.whole
    reached = goal.cost(heads, ffn) / goal.whole
    return {"budget": {"kind": kind, "asked": round(asked, 4), "reached": round(reached, 4)}}


def training_batches(context: StageContext, batch_size: int) -> Iterator[Batch]:
    """Training batches without end, in the orders of the recipe's seed."""
    workspace = context.workspace
    rows = workspace.tokenized(workspace.data.train)
    return endless_batches(rows, batch_size, seed=context.recipe.seed)
