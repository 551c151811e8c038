"""What happens around the steps of a training: curves, scores, checkpoints, and what is told."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from typing import Any

import lightning as L
import torch
from safetensors.torch import save_model

from distill.system import atomic
from distill.system.console import Bar, clock
from distill.system.errors import UserError
from distill.tasks.correlation import undefined_note
from distill.training.base import Batch, TrainingModule
from distill.training.checkpoint import FitState, put_state
from distill.training.interrupt import Interrupt
from distill.training.session import FitSession
from distill.training.stream import Plan

logger = logging.getLogger("distill")

#: Optimiser steps between two rows of a curve; each row is the mean over them.
LOG_STEPS = 20


class Watcher(L.Callback):
    """Counts, logs, scores and saves, in this order at the end of an optimiser step.

    A checkpoint is written after everything of its step is done, so that what is done again after
    a kill is done exactly as before. Weights of a new best score are written under a name of
    their own before the checkpoint that names them, and older ones are removed after it.

    Args:
        session: names, folders, loggers.
        plan: how the training is divided.
        state: where it stands; changed in place.
        validation: batches to score, or ``None``.
        at_start: score before the first step too.
        patience: evaluations without a better score before the end.
        bar: counts the steps for a person.
        interrupt: says when a person wants to stop.
    """

    def __init__(
        self,
        session: FitSession,
        *,
        plan: Plan,
        state: FitState,
        validation: Iterable[Batch] | None,
        at_start: bool = False,
        patience: int | None,
        bar: Bar,
        interrupt: Interrupt,
    ) -> None:
        self.session, self.plan, self.state = session, plan, state
        self.validation, self.patience = validation, patience
        self.bar, self.interrupt = bar, interrupt
        self.evaluations = plan.evaluation_steps() | ({0} if at_start else set())
        self.started = time.monotonic()
        self._rate = 0.0
        self._status = ""

    @property
    def seconds(self) -> float:
        """Time spent on this training, by this process and those before it."""
        return self.state.seconds + time.monotonic() - self.started

    def pending(self) -> bool:
        """Whether the model has still to be scored as it is now."""
        due = self.validation is not None and self.state.step in self.evaluations
        return due and not self.state.evaluated()

    # Hooks, in the order of their calls.

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Score the model if a stop came in between."""
        if self.pending():
            # Not saved here: the optimiser's state is restored only after this hook.
            self._evaluate(trainer, _ours(module))
        if self._asked_anywhere(trainer):
            trainer.should_stop = True

    def on_train_batch_start(
        self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Tell the module which batch of the whole training this is."""
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]
        _ours(module).position = self.state.position

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Everything that belongs to the end of a step."""
        state = self.state
        state.position += 1
        state.recent.add(outputs["losses"])
        state.told.add({"loss": outputs["losses"]["loss"]})
        if not self.plan.is_step(state.position):
            return
        state.step += 1
        self.bar.advance(status=self._status)
        done = state.position == self.plan.positions
        if done or state.step % LOG_STEPS == 0:
            self._log_losses(trainer)
        stop = self._stop_is_asked(trainer)
        evaluated = not stop and self.pending() and self._evaluate(trainer, _ours(module))
        if not evaluated and self.validation is None and self.plan.ends_epoch(state.step):
            self._tell({})
        stop = stop or self._stop_is_asked(trainer)
        if done or stop or evaluated or state.step % self.session.trainer.checkpoint_steps == 0:
            self._save(trainer)
        if stop or state.stopped:
            trainer.should_stop = True

    def on_save_checkpoint(
        self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put our state in the place of Lightning's loop counters."""
        plain = self.state.as_plain() | {"seconds": self.seconds}
        put_state(checkpoint, plain, self.plan, self.session.seed)

    # What they are made of.

    def _stop_is_asked(self, trainer: L.Trainer) -> bool:
        # All processes must stop at the same step; on GPUs asking them costs a wait, so not at
        # each one.
        on_cpu = trainer.strategy.root_device.type == "cpu"
        if trainer.world_size > 1 and not on_cpu and self.state.step % LOG_STEPS:
            return False
        return self._asked_anywhere(trainer)

    def _asked_anywhere(self, trainer: L.Trainer) -> bool:
        if trainer.world_size == 1:
            return self.interrupt.asked
        return trainer.strategy.reduce_boolean_decision(self.interrupt.asked, all=False)

    def _log(self, trainer: L.Trainer, values: dict[str, float]) -> None:
        row = {"epoch": self.plan.epoch_at(self.state.position), **values}
        for target in trainer.loggers:
            target.log_metrics(row, step=self.state.step)

    def _log_losses(self, trainer: L.Trainer) -> None:
        self.state.recent.share()
        means = self.state.recent.take()
        loss = means.pop("loss")
        if not math.isfinite(loss):
            raise UserError(
                f"{self.session.name}: the loss is {loss} at step {self.state.step}: lower lr "
                f"(it is {self._rate:.2g} there) or set trainer.precision to fp32"
            )
        parts = {f"loss/{name}": value for name, value in means.items()}
        self._log(trainer, {"loss": loss, **parts, "lr": self._rate})
        self._set_status(f"loss {loss:.4g}")

    def _set_status(self, loss: str) -> None:
        best = self.state.selection.score
        self._status = loss if best is None else f"{loss}, best {best:.4f}"

    def _evaluate(self, trainer: L.Trainer, module: TrainingModule) -> bool:
        """Score the model, unless a person wants to stop; whether it was scored.

        With several processes the scoring is finished first: they exchange what they counted.
        """
        module.reset_scores()
        module.model.eval()
        try:
            with torch.inference_mode(), trainer.precision_plugin.val_step_context():
                for batch in self.validation or ():
                    if self.interrupt.asked and trainer.world_size == 1:
                        return False
                    module.observe(trainer.strategy.batch_to_device(batch))
            scores = module.scores()
        finally:
            module.model.train()
        self._choose(trainer, module, scores)
        return True

    def _choose(self, trainer: L.Trainer, module: TrainingModule, scores: dict[str, float]) -> None:
        state = self.state
        epoch = self.plan.epoch_at(state.position)
        state.history.append({"step": state.step, "epoch": epoch, "metrics": scores})
        self._log(trainer, {f"validation/{name}": value for name, value in scores.items()})
        chooser = module.chooses_by
        if chooser is not None:
            defined = chooser not in module.undefined
            better = state.selection.offer(scores[chooser], state.step, defined=defined)
            if better and trainer.is_global_zero:
                with atomic.new_file(self.session.best(state.step)) as temporary:
                    save_model(module.model, str(temporary))
            state.stopped = state.selection.is_out_of_patience(self.patience)
            if not defined:
                logger.warning("%s: %s", self.session.name, undefined_note(chooser))
        self._tell({chooser: scores[chooser]} if chooser else scores)

    def _save(self, trainer: L.Trainer) -> None:
        # The checkpoint, which rank 0 writes, must hold the sums of all.
        self.state.recent.share()
        self.state.told.share()
        for target in trainer.loggers:
            target.save()
        trainer.save_checkpoint(self.session.last)
        if trainer.is_global_zero:
            for path in self.session.checkpoints.glob("best-*.safetensors"):
                if path != self.session.best(self.state.selection.step):
                    path.unlink()

    def _tell(self, scores: dict[str, float]) -> None:
        """One line for a person: ``prediction: epoch 2/3, loss 0.123, accuracy 0.912 ...``."""
        state, best = self.state, self.state.selection.score
        epoch = f"{self.plan.epoch_at(state.position):.2f}".rstrip("0").rstrip(".")
        words = [f"epoch {epoch}/{self.plan.epochs}"]
        if self.plan.limit is not None:
            words = [f"step {state.step}/{self.plan.limit}"]
        self.state.told.share()
        if loss := state.told.take():
            words.append(f"loss {loss['loss']:.4g}")
            self._set_status(words[-1])
        words += [f"{name} {value:.4f}" for name, value in scores.items()]
        told = ", ".join(words) + (f" (best {best:.4f})" if best is not None else "")
        told = f"{told}, {clock(self.seconds)}"
        left = self.bar.seconds_left()
        if left is not None and state.step < self.plan.steps:
            told = f"{told}, ETA {clock(left)}"
        logger.info("%s: %s", self.session.name, told)


def _ours(module: L.LightningModule) -> TrainingModule:
    if not isinstance(module, TrainingModule):
        raise TypeError(f"fit trains a TrainingModule, not a {type(module).__name__}")
    return module
