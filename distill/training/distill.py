"""Distillation: the student learns to give the teacher's signals.

Legend: B batch, L length, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import MeanMetric
from transformers import PreTrainedModel

from distill.capture.layer_map import LayerMap
from distill.capture.signals import Signals
from distill.objectives import Compared, Mode, Objective, make_objectives
from distill.objectives.logits import LogitsMatch
from distill.objectives.mlm import IGNORED
from distill.objectives.vectors import OfVectors, VectorMatch
from distill.recipe.schema import TrainConfig, WeightSchedule
from distill.system import distributed
from distill.system.errors import ModelError
from distill.tasks.base import Task
from distill.training.base import Batch, TrainingModule
from distill.training.matched import Matched, capture_of
from teachers.cache import TeacherLogits, look_up
from teachers.freeze import freeze

_CACHED = "teacher_logits"


class DistillModule(TrainingModule):
    r"""Trains a student on a teacher's signals.

    Minimises :math:`\sum_k w_k L_k(student, teacher)` over the objectives. Batches are mappings
    with ``input_ids`` and ``attention_mask``, and where there are ``token_type_ids`` (each (B, L)),
    ``labels`` (B,) and ``index`` (B,); student and teacher read the same token ids.

    The teacher is frozen and stays outside the module: it is in no optimiser, checkpoint or
    ``state_dict``, and always in evaluation mode. Only the layers that an objective needs run.

    Args:
        teacher: the model to learn from; ``None`` where ``teacher_logits`` are all that is matched.
        student: the model that learns; its weights are changed in place.
        objectives: what is matched: objects, configurations or kinds (``"attention"``).
        layer_map: which teacher layer each student layer learns from: a kind, a list of
            [student, teacher] pairs from 1, or a :class:`LayerMap`.
        mode: ``masked`` (means over real tokens) or ``reference`` (the arithmetic of TinyBERT's
            published code, padding included).
        projection: one learned projection to the teacher's width for each layer, or one for all;
            left out, ``per_layer`` in masked and ``shared`` in reference mode.
        train: the optimiser's settings; left out, the defaults of a recipe.
        task: gives the metrics of validation.
        teacher_logits: the teacher's logits (N, C), looked up by ``batch["index"]`` in place of
            running the teacher's head.
        seed: seeds dropout.

    Raises:
        ModelError: student, teacher and objectives do not go together.

    Reference:
        Jiao et al. 2020, TinyBERT: Distilling BERT for Natural Language Understanding.

    Example:
        >>> objectives = ["embedding", "attention", "hidden"]
        >>> module = DistillModule(teacher, student, objectives)  # doctest: +SKIP
        >>> L.Trainer(max_epochs=3).fit(module, loader)  # doctest: +SKIP
    """

    def __init__(
        self,
        teacher: PreTrainedModel | None,
        student: PreTrainedModel,
        objectives: Sequence[Any],
        *,
        layer_map: LayerMap | str | Sequence[Sequence[int]] = "uniform",
        mode: Mode = "masked",
        projection: Literal["shared", "per_layer"] | None = None,
        train: TrainConfig | None = None,
        task: Task | None = None,
        teacher_logits: TeacherLogits | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(student, train=train or TrainConfig(), task=task, seed=seed)
        self.objectives: list[Objective[Any]] = make_objectives(
            objectives, mode=mode, logits_loss=task.logits_loss if task else "soft_ce"
        )
        for objective in self.objectives:
            if task is None:
                break
            if isinstance(objective, LogitsMatch):
                objective.hard_loss = task.hard_loss
            if isinstance(objective, OfVectors):
                objective.widths = task.short_widths
            if isinstance(objective, VectorMatch):
                objective.in_teachers_space = task.keep_projection
        self.needs = frozenset(need for objective in self.objectives for need in objective.needs)
        self._cached = teacher_logits
        self.masked_loss = MeanMetric()
        matched = Matched(teacher, student, teacher_logits)
        from_teacher = matched.check(self.needs)
        # In a tuple, where torch does not look for modules.
        self._teacher = (freeze(teacher),) if teacher is not None else ()
        self.layer_map = matched.layer_map(layer_map, self.objectives)
        self._maps = matched.maps(self.objectives, self.layer_map)
        reference = mode == "reference"
        self.project = matched.projections(
            projection or ("shared" if reference else "per_layer"),
            self._maps,
            seed=seed if reference else None,
        )
        self._student_signals = capture_of(student, self._maps, self.needs, side=0)
        self._teacher_signals = (
            capture_of(teacher, self._maps, from_teacher, side=1)
            if teacher and from_teacher
            else None
        )

    @property
    def teacher(self) -> PreTrainedModel | None:
        """The frozen teacher."""
        return self._teacher[0] if self._teacher else None

    @property
    def chooses_by(self) -> str | None:
        """The task's score, once logits are learned: before, the head means nothing."""
        return super().chooses_by if "logits" in self.needs else None

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Take the teacher along when the module moves to a device or another type."""
        for teacher in self._teacher:
            teacher._apply(fn)
        return super()._apply(fn, recurse)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The sum of the weighted losses as ``loss``, and each without its weight by its kind."""
        student = self._comparable(self._student_signals(batch), batch)
        teacher = self._comparable(self._signals_of_teacher(batch), batch)
        losses: dict[str, Tensor] = {}
        progress = self._progress()
        total = torch.zeros((), device=self.device)
        for objective, layer_map in self._maps:
            labels = self._labels(objective, batch)
            mask = batch["attention_mask"]
            loss = objective(Compared(student, teacher, mask, layer_map, self.project, labels))
            losses[objective.kind] = loss
            total = total + objective.weight_at(progress) * loss
        return {"loss": total, **losses}

    def _comparable(self, signals: Signals, batch: Batch) -> Signals:
        """The signals with logits as rows of distributions, as the task sees them."""
        if self.task is not None and signals.logits is not None:
            signals.logits = self.task.comparable(signals.logits, batch)  # (M, K)
        return signals

    def _labels(self, objective: Objective[Any], batch: Batch) -> Tensor | None:
        """The labels that an objective reads; the task's go with its comparable logits."""
        if self.task is not None and objective.labels == "labels":
            return self.task.comparable_labels(batch)
        return batch.get(objective.labels)

    def _progress(self) -> float:
        """The share of the optimiser steps that are done: a function of the position alone."""
        if not any(isinstance(one.config.weight, WeightSchedule) for one in self.objectives):
            return 0.0
        if self._trainer is None:
            return 0.0
        return self.trainer.global_step / self.trainer.estimated_stepping_batches

    def observe(self, batch: Batch) -> None:
        """Take a validation batch into the task's metrics or, without logits, into the loss."""
        if self.chooses_by is not None:
            super().observe(batch)
        elif "mlm" in self.needs and "mlm_labels" not in batch:
            return
        elif "logits" not in self.needs or getattr(self._teacher_signals, "logits", False):
            losses = self.losses(batch)
            rows = torch.tensor(float(len(batch["input_ids"])), device=self.device)
            # By the rows of all processes together, as the loss is the mean over them.
            self.validation_loss.update(losses["loss"], distributed.shared(rows))
            if "mlm" in losses:
                masked = (batch["mlm_labels"] != IGNORED).sum().float()
                self.masked_loss.update(losses["mlm"], distributed.shared(masked))

    def scores(self) -> dict[str, float]:
        """See :class:`TrainingModule`; with masked tokens also ``mlm_loss`` and ``perplexity``."""
        scores: dict[str, float] = {}
        if self.masked_loss.update_called:
            scores["mlm_loss"] = float(self.masked_loss.compute())
            scores["perplexity"] = math.exp(min(scores["mlm_loss"], 50.0))
        return {**super().scores(), **scores}

    def reset_scores(self) -> None:
        super().reset_scores()
        self.masked_loss.reset()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Look the teacher's logits up while the indices are on the host: no device to wait for."""
        if self._cached is None or not self.trainer.training:
            return batch
        if "index" not in batch:
            raise ModelError(
                "teacher_logits are looked up by batch['index'], the row's number, which the "
                "batch does not have"
            )
        return {**batch, _CACHED: look_up(self._cached, batch)}

    def _signals_of_teacher(self, batch: Batch) -> Signals:
        signals = Signals()
        if self._teacher_signals is not None:
            with torch.no_grad():
                signals = self._teacher_signals(batch)
        if _CACHED in batch:
            signals.logits = batch[_CACHED]
        return signals
