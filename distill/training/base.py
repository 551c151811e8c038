"""What every training has in common: optimiser, seeded steps, losses kept without waiting.

Legend: B batch, L length, C classes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics import MeanMetric, MetricCollection
from transformers import PreTrainedModel

from distill.recipe.schema import TrainConfig
from distill.tasks.base import Task
from distill.tasks.metrics import undefined
from distill.training.optimizer import make_optimizer, rate_factor
from students.anatomy import anatomy
from students.family import MODEL_TYPES
from students.heads import logits_of

Batch = dict[str, Tensor]
#: ``loss_of(model, batch)``: a scalar that parts of a model are judged by.
LossOf = Callable[[nn.Module, Batch], Tensor]
#: What the weights are chosen by, as Lightning's callbacks see it.
SELECTION = "selection"
_MASK = (1 << 64) - 1


def step_seed(seed: int, step: int, rank: int) -> int:
    """The seed of one training step: a well-mixed function of its three arguments.

    Seeding every step makes dropout a function of (seed, step, rank), so that a training that is
    resumed needs no stored state of the random number generators to go on exactly as before.

    Args:
        seed: the training's seed.
        step: batches trained on before this one, over all epochs.
        rank: the process in distributed training.

    Reference:
        The mixing is SplitMix64 (Steele et al. 2014).
    """
    value = (
        seed * 0x9E3779B97F4A7C15 + step * 0xD1B54A32D192ED03 + rank * 0x8CB92BA72F3D8DD7 + 1
    ) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return (value ^ (value >> 31)) >> 1


def attention_kernel(device: torch.device) -> AbstractContextManager[Any]:
    """The SDPA kernel that trains fastest: plain batched products for bf16 on a CPU, else torch's.

    The fused kernel's backward pass works head by head there. Forward and backward of a layer
    (64 x 12 heads of width 32, 2 threads) took 39 ms with it and 8 ms with batched products at
    length 24, 81 and 33 ms at 64, 188 and 101 ms at 128.
    """
    if device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()


def _layers(model: PreTrainedModel) -> list[nn.Module]:
    known = model.config.model_type in MODEL_TYPES
    return list(dict.fromkeys(anatomy(model).layers)) if known else []


def shard(module: TrainingModule, mesh: DeviceMesh) -> None:
    """Let every process keep a part of each parameter, of its gradient and of its optimiser state.

    A layer's weights are gathered when it is run and, as attention scores are taken out of the
    middle of a layer, kept until its gradients are. What is not a layer (embeddings, heads,
    projections) is gathered for a whole step, as its weights are read outside their modules too.

    Args:
        module: changed in place.
        mesh: the processes.
    """
    options: dict[str, Any] = {"mesh": mesh, "reshard_after_forward": False}
    units = [*_layers(module.model), module]
    for unit in units:
        sharded = fully_shard(unit, **options)
        if mesh.device_type == "cpu":
            sharded.set_force_sum_reduction_for_comms(True)  # gloo has no mean
    for name in ("training_step", "validation_step"):
        register_fsdp_forward_method(module, name)


class TrainingModule(L.LightningModule):
    """Base of the modules that train a model.

    Works in :func:`distill.training.fit.fit` and in a :class:`lightning.Trainer` of your own. A
    subclass says what the losses of a batch are.

    Args:
        model: what is trained; its weights are changed in place.
        train: learning rate, schedule and the rest of the optimiser's settings.
        task: gives the metrics of validation; without it there are none.
        seed: seeds dropout, each step by its number.
    """

    def __init__(
        self, model: PreTrainedModel, *, train: TrainConfig, task: Task | None, seed: int
    ) -> None:
        super().__init__()
        self.model = model
        self.train_config = train
        self.task = task
        self.seed = seed
        #: Whether every step logs its losses; ``fit`` has curves of its own instead.
        self.logs_losses = True
        #: The scores of the last validation, by name.
        self.validation_scores: dict[str, float] = {}
        #: The scores of the last validation that were not defined and count as 0.
        self.undefined: list[str] = []
        self.metrics: MetricCollection | None = task.metrics() if task is not None else None
        self.validation_loss = MeanMetric()

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch: scalars, ``loss`` being what is minimised."""

    def observe(self, batch: Batch) -> None:
        """Take a validation batch into the metrics."""
        if self.task is not None and self.metrics is not None:
            logits = logits_of(self.model, batch)
            self.task.observe(self.metrics, logits.float(), batch)

    def scores(self) -> dict[str, float]:
        """The metrics over what was observed since the last call, by name."""
        scores: dict[str, float] = {}
        metrics = self.metrics
        if metrics is not None and all(metric.update_called for metric in metrics.values()):
            scores |= {name: float(value) for name, value in metrics.compute().items()}
            self.undefined = undefined(metrics)
        if self.validation_loss.update_called:
            scores["loss"] = float(self.validation_loss.compute())
        self.reset_scores()
        return scores

    def reset_scores(self) -> None:
        """Forget what was observed."""
        self.validation_loss.reset()
        if self.metrics is not None:
            self.metrics.reset()

    @property
    def chooses_by(self) -> str | None:
        """The metric that says which weights are best, or ``None`` where the last ones are kept."""
        return self.task.primary if self.task is not None else None

    def configure_model(self) -> None:
        """With ``strategy: fsdp``, shard the model over the processes; see :func:`shard`."""
        if self.device_mesh is not None and not isinstance(self, FSDPModule):
            shard(self, self.device_mesh["data_parallel"])

    def on_fit_start(self) -> None:
        """Turn dropout on: models come from ``from_pretrained`` with it off."""
        self.model.train()
        if self.train_config.dropout is not None:
            for module in self.model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = self.train_config.dropout

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        position = self.trainer.fit_loop.total_batch_idx
        torch.manual_seed(step_seed(self.seed, position, self.global_rank))
        with attention_kernel(self.device):
            losses = self.losses(batch)
        kept = {name: value.detach() for name, value in losses.items()}
        if self.logs_losses:
            self.log_dict(kept, batch_size=len(batch["input_ids"]))
        return {"loss": losses["loss"] * self._lift(batch_idx), "losses": kept}

    def _lift(self, batch_idx: int) -> float:
        """Makes an epoch's last step the mean over its batches, as every step is.

        The trainer divides each loss by ``accumulate_grad_batches``, of which that step may have
        fewer.
        """
        wanted, batches = self.trainer.accumulate_grad_batches, self.trainer.num_training_batches
        if math.isinf(batches) or batch_idx // wanted < batches // wanted:
            return 1.0
        return wanted / (batches % wanted)

    def on_validation_start(self) -> None:
        """Forget what a validation that was broken off has observed."""
        self.reset_scores()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.observe(batch)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics as ``validation/NAME``, and as :data:`SELECTION` what chooses."""
        self.validation_scores = scores = self.scores()
        self.log_dict({f"validation/{name}": value for name, value in scores.items()})
        if (name := self.chooses_by) is not None:
            # A score that is not defined counts as 0 and is never better than one that is.
            chosen = -math.inf if name in self.undefined else scores[name]
            self.log(SELECTION, chosen, logger=False)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip as the trainer asks, also in bf16 with the fused optimiser.

        Lightning refuses that pair because the fused optimiser unscales gradients itself; in bf16
        nothing is scaled.
        """
        plugin = self.trainer.precision_plugin
        by_norm = gradient_clip_algorithm in (None, "norm")
        if isinstance(plugin, MixedPrecision) and plugin.scaler is None and by_norm:
            plugin.clip_grad_by_norm(optimizer, gradient_clip_val or 0.0)
            return
        super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self, self.train_config)
        if isinstance(self, FSDPModule):
            # What AdamW makes at a first gradient: torch wants the state of each parameter, also
            # of those without one, when it loads a checkpoint.
            for parameter in (p for group in optimizer.param_groups for p in group["params"]):
                optimizer.state[parameter] = {
                    "step": torch.zeros((), device=parameter.device),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        total = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, rate_factor(self.train_config, total))
        # One change per optimiser step.
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


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
