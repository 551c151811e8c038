"""Training on labels: the teacher's fine-tuning, and the baseline."""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel

from distill.recipe.schema import TrainConfig
from distill.tasks.base import Task
from distill.training.base import Batch, TrainingModule
from students.heads import logits_of


class FinetuneModule(TrainingModule):
    """Trains a model on a task's labels.

    Args:
        model: the model; parameters that do not require gradients stay as they are.
        task: loss and metrics.
        train: how; left out, the defaults of a recipe.
        seed: seeds dropout.

    Example:
        >>> module = FinetuneModule(model, task, train=TrainConfig(epochs=1))  # doctest: +SKIP
        >>> L.Trainer(max_epochs=1).fit(module, loader)  # doctest: +SKIP
    """

    task: Task

    def __init__(
        self,
        model: PreTrainedModel,
        task: Task,
        *,
        train: TrainConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(model, train=train or TrainConfig(), task=task, seed=seed)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        logits = logits_of(self.model, batch)
        return {"loss": self.task.loss(logits.float(), batch["labels"])}
