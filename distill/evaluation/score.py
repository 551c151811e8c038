"""How well a model does the task: every metric of the task over a split.

Legend: B batch, C classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch

from distill.data.batches import make_loader
from distill.data.tokenized import TokenExamples
from distill.evaluation.predictors import Logits, Predictor, torch_threads
from distill.system.console import Bar
from distill.system.errors import DataError
from distill.tasks.base import Task
from distill.tasks.metrics import undefined, undefined_note
from students.anatomy import INPUTS

logger = logging.getLogger("distill")

#: What may look at a batch's logits while a model is scored.
Seen = Callable[[Logits, Mapping[str, Any]], None]


def score_and_choose(
    predictor: Predictor, dataset: TokenExamples, task: Task
) -> tuple[dict[str, float], dict[str, Any]]:
    """Score a model on validation examples, and choose the settings that the task leaves to it.

    Returns:
        The metrics, those of a task that chooses with what was chosen; and what was chosen, see
        :meth:`distill.tasks.base.Task.chosen`.

    Raises:
        DataError: the split has no rows.
    """
    if not task.chooses:
        return score(predictor, dataset, task), {}
    logits: list[torch.Tensor] = []  # (B, C) each
    labels: list[torch.Tensor] = []

    def keep(found: Logits, batch: Mapping[str, Any]) -> None:
        logits.append(torch.from_numpy(found))
        labels.append(batch["labels"])

    scores = score(predictor, dataset, task, seen=keep)
    return scores, task.chosen(torch.cat(logits), torch.cat(labels))


def score(
    predictor: Predictor,
    dataset: TokenExamples,
    task: Task,
    *,
    batch_size: int = 64,
    seen: Seen | None = None,
) -> dict[str, float]:
    """Score a model on every row of a split, batched by length, by every metric of the task.

    The scores do not depend on the batch size. ``seen`` is called with every batch's logits and
    the batch.

    Raises:
        DataError: the split has no rows.
    """
    if len(dataset) == 0:
        raise DataError("cannot score a model on a split without examples")
    metrics = task.metrics()
    loader = make_loader(dataset, batch_size, seed=0, shuffle=False)
    with torch_threads(), Bar(f"scoring {predictor.name}", len(dataset)) as bar:
        for batch in loader:
            inputs = {key: batch[key].numpy() for key in (*INPUTS, "index") if key in batch}
            logits = predictor(inputs)
            task.observe(metrics, torch.from_numpy(logits), batch)
            if seen is not None:
                seen(logits, batch)
            bar.advance(len(batch["index"]))
    scores = {name: float(value) for name, value in metrics.compute().items()}
    if task.primary in undefined(metrics):
        logger.warning("%s: %s", predictor.name, undefined_note(task.primary))
    return scores
