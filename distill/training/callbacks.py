"""What a training needs beside Lightning's own callbacks: curves, progress and exact resume."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from distill.system import distributed
from distill.system.console import Bar, clock
from distill.system.errors import UserError
from distill.tasks.metrics import undefined_note
from distill.training.base import TrainingModule
from distill.training.checkpoint import FitSession
from distill.training.interrupt import Interrupt

logger = logging.getLogger("distill")

#: Optimiser steps between two rows of a curve; each row is the mean over them.
LOG_STEPS = 20


def epochs_done(trainer: L.Trainer) -> float:
    """Epochs trained on so far, with fractions."""
    # A float: not known, and infinite, before the first batch.
    return (trainer.fit_loop.total_batch_idx + 1) / trainer.num_training_batches


def ends_step(trainer: L.Trainer, batch_idx: int) -> bool:
    """Whether the optimiser made a step with this batch of the epoch."""
    done = batch_idx + 1
    return done % trainer.accumulate_grad_batches == 0 or done == trainer.num_training_batches


class Meter:
    """Sums of named scalars.

    Adding one neither copies it to the host nor waits for it; :meth:`means` fetches all in one
    transfer.
    """

    def __init__(self, sums: dict[str, Tensor] | None = None, count: int = 0) -> None:
        self.sums = sums or {}
        self.count = count

    def add(self, values: dict[str, Tensor]) -> None:
        """Add a step's values: scalars without gradient."""
        for name, value in values.items():
            self.sums[name] = value.float() + self.sums.get(name, 0.0)
        self.count += 1

    def means(self) -> dict[str, float]:
        """The means over the steps of all processes; empty if nothing was added."""
        self._share()
        if not self.count:
            return {}
        means = (torch.stack(list(self.sums.values())) / self.count).tolist()
        return dict(zip(self.sums, means, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """The sums for a checkpoint, which rank 0 writes for all."""
        self._share()
        sums = {name: value.cpu() for name, value in self.sums.items()}
        return {"sums": sums, "count": self.count}

    def _share(self) -> None:
        if self.sums and distributed.several():
            means = distributed.shared(torch.stack(list(self.sums.values())))
            self.sums = dict(zip(self.sums, means.unbind(), strict=True))


class Curves(L.Callback):
    """Writes losses and scores to the loggers, keeps the scores, and shows progress.

    Not through ``self.log``: a row is the mean over the steps since the last one, the epoch has
    fractions, and what was summed up outlives a kill. Lightning logs single steps, whole epochs,
    and begins a mean anew.

    Args:
        session: names and loggers.
        bar: counts the steps of the whole training for a person.
    """

    def __init__(self, session: FitSession, bar: Bar) -> None:
        self.session, self.bar = session, bar
        self.meter = Meter()
        #: The evaluations in order: ``step``, ``epoch``, ``metrics``.
        self.history: list[dict[str, Any]] = []
        self.best: float | None = None
        self._seconds_before, self._started = 0.0, time.monotonic()
        self._rate = 0.0
        self._loss = ""

    @property
    def seconds(self) -> float:
        """Time spent on this training, by this process and those before it."""
        return self._seconds_before + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        return {
            "meter": self.meter.state_dict(),
            "history": [dict(entry) for entry in self.history],
            "best": self.best,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.meter = Meter(**state_dict["meter"])
        self.history, self.best = state_dict["history"], state_dict["best"]
        self._seconds_before, self._started = state_dict["seconds"], time.monotonic()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Noted here, as the schedule changes it before the batch's end.
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add the batch's losses, and log them every :data:`LOG_STEPS` steps."""
        self.meter.add(outputs["losses"])
        if not ends_step(trainer, batch_idx):
            return
        self.bar.advance(status=self._status())
        step = trainer.global_step
        ends_epoch = batch_idx + 1 == trainer.num_training_batches
        if not trainer.enable_validation and ends_epoch:
            self._report(trainer, {})
        if step % LOG_STEPS == 0 or step == self.bar.total:
            self._log_losses(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep and log the scores; the sanity check before the first step counts as step 0."""
        module = cast(TrainingModule, pl_module)
        scores, chooser = module.validation_scores, module.chooses_by
        entry = {"step": trainer.global_step, "epoch": epochs_done(trainer), "metrics": scores}
        self.history.append(entry)
        self._log(trainer, {f"validation/{name}": value for name, value in scores.items()})
        if chooser is None:
            self._report(trainer, scores)
            return
        score = scores[chooser]
        if chooser in module.undefined:
            logger.warning("%s: %s", self.session.name, undefined_note(chooser))
        elif self.best is None or score > self.best:
            self.best = score
        self._report(trainer, {chooser: score})

    def _log(self, trainer: L.Trainer, values: dict[str, float]) -> None:
        for target in self.session.loggers:
            target.log_metrics({"epoch": epochs_done(trainer), **values}, step=trainer.global_step)

    def _log_losses(self, trainer: L.Trainer) -> None:
        means, self.meter = self.meter.means(), Meter()
        loss = means.pop("loss")
        if not math.isfinite(loss):
            raise UserError(
                f"{self.session.name}: the loss is {loss} at step {trainer.global_step}: lower lr "
                f"(it is {self._rate:.2g} there) or set trainer.precision to fp32"
            )
        parts = {f"loss/{name}": value for name, value in means.items()}
        self._log(trainer, {"loss": loss, **parts, "lr": self._rate})
        self._loss = f"loss {loss:.4g}"

    def _status(self) -> str:
        return self._loss if self.best is None else f"{self._loss}, best {self.best:.4f}"

    def _report(self, trainer: L.Trainer, scores: dict[str, float]) -> None:
        """One line for a person: ``prediction: epoch 2/3, loss 0.123, accuracy 0.912 ...``."""
        epoch = f"{epochs_done(trainer):.2f}".rstrip("0").rstrip(".")
        words = [f"epoch {epoch}/{trainer.max_epochs}"]
        if trainer.max_steps > 0:
            words = [f"step {trainer.global_step}/{trainer.max_steps}"]
        if means := self.meter.means():
            self._loss = f"loss {means['loss']:.4g}"
        words += [self._loss] if self._loss else []
        words += [f"{name} {value:.4f}" for name, value in scores.items()]
        line = ", ".join(words) + (f" (best {self.best:.4f})" if self.best is not None else "")
        line = f"{line}, {clock(self.seconds)}"
        left = self.bar.seconds_left()
        if left is not None and trainer.global_step < self.bar.total:
            line = f"{line}, ETA {clock(left)}"
        logger.info("%s: %s", self.session.name, line)


class LastCheckpoint(Checkpoint):
    """Writes what a stopped training goes on from, once everything of its step is done.

    ``ModelCheckpoint`` writes before the validation of the same step, which Lightning then leaves
    out when it goes on from there; here the validation, the best weights and the patience come
    first. The last step of a training is always scored.

    Args:
        session: folders, loggers and how often.
        interrupt: says when a person or a scheduler wants to stop.
        fingerprint: what a training must have in common with this one to go on from it.
    """

    def __init__(
        self, session: FitSession, interrupt: Interrupt, fingerprint: dict[str, Any]
    ) -> None:
        self.session, self.interrupt, self.fingerprint = session, interrupt, fingerprint

    def state_dict(self) -> dict[str, Any]:
        return dict(self.fingerprint)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Count the batch whose end this is, which Lightning does after its hooks.

        The optimiser's states are named, so that every strategy can go on from them: Lightning
        reads numbers for ``fsdp`` by another order than that in which optimisers write them.
        """
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for part in ("current", "total"):
            progress[part]["completed"] = progress[part]["processed"]
        if not isinstance(pl_module, FSDPModule):
            names = {parameter: name for name, parameter in pl_module.named_parameters()}
            checkpoint["optimizer_states"] = [_named(one, names) for one in trainer.optimizers]

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look for the best weights in this folder, as a run folder may have been moved."""
        folder = self.session.checkpoints.resolve()
        for state in checkpoint["callbacks"].values():
            if "best_k_models" in state:
                kept = state["best_k_models"].items()
                state["best_k_models"] = {_moved(path, folder): score for path, score in kept}
                for key in ("best_model_path", "kth_best_model_path"):
                    state[key] = _moved(state[key], folder)
                state["dirpath"] = str(folder)

    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take signals over from Lightning, which has just set its own handlers."""
        self.interrupt.listen()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take signals over, and end at once where it had ended early, which is not kept."""
        self.interrupt.listen()
        early = trainer.early_stopping_callback
        if isinstance(early, EarlyStopping) and early.wait_count >= early.patience:
            trainer.should_stop = True

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save after a step that no validation follows; else the end of that one does."""
        if not ends_step(trainer, batch_idx):
            return
        last = trainer.global_step == self.fingerprint["steps"]
        if trainer.enable_validation and last:
            trainer.should_stop = True  # which makes Lightning validate, due or not
            return
        if trainer.enable_validation and self._validation_is_due(trainer, batch_idx):
            return
        stop = self._stop_is_asked(trainer)
        if last or stop or trainer.global_step % self.session.trainer.checkpoint_steps == 0:
            self._save(trainer)
        if stop:
            trainer.limit_val_batches = 0  # it would be of a step that is not due
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save what was scored, unless gradients are being added up."""
        if trainer.sanity_checking or not ends_step(trainer, trainer.fit_loop.batch_idx):
            return
        self._save(trainer)
        if self._asked_anywhere(trainer):
            trainer.should_stop = True

    @staticmethod
    def _validation_is_due(trainer: L.Trainer, batch_idx: int) -> bool:
        of_training = trainer.check_val_every_n_epoch is None
        position = trainer.fit_loop.total_batch_idx if of_training else batch_idx
        return (position + 1) % int(trainer.val_check_batch or 1) == 0

    def _stop_is_asked(self, trainer: L.Trainer) -> bool:
        # All processes must stop at the same step; on GPUs asking them costs a wait, so not at
        # each one.
        on_cpu = trainer.strategy.root_device.type == "cpu"
        if trainer.world_size > 1 and not on_cpu and trainer.global_step % LOG_STEPS:
            return False
        return self._asked_anywhere(trainer)

    def _asked_anywhere(self, trainer: L.Trainer) -> bool:
        if trainer.world_size > 1:
            asked = torch.tensor(self.interrupt.asked, device=trainer.strategy.root_device)
            torch.distributed.all_reduce(asked, torch.distributed.ReduceOp.MAX)
            self.interrupt.asked = int(asked)
        return self.interrupt.asked > 0

    def _save(self, trainer: L.Trainer) -> None:
        for target in self.session.loggers:
            target.save()
        trainer.save_checkpoint(self.session.last)


def _named(
    optimizer: torch.optim.Optimizer, names: dict[torch.nn.Parameter, str]
) -> dict[str, Any]:
    """An optimiser's state by its parameters' names, also of those that had no gradient yet."""
    state = optimizer.state_dict()
    owned = [one for group in optimizer.param_groups for one in group["params"]]
    for number, one in enumerate(owned):
        if number not in state["state"]:
            zeros = {name: torch.zeros_like(one) for name in ("exp_avg", "exp_avg_sq")}
            state["state"][number] = {"step": torch.tensor(0.0), **zeros}
    for group in state["param_groups"]:
        group["params"] = [names[owned[number]] for number in group["params"]]
    return state | {"state": {names[owned[n]]: one for n, one in state["state"].items()}}


def _moved(path: str, folder: Path) -> str:
    return str(folder / Path(path).name) if path else ""
