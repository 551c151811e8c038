"""One training from start to end: gone on with where it stopped, the best weights kept."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy

from distill.data.batches import make_sampler
from distill.recipe.schema import TrainerConfig
from distill.system import distributed
from distill.system.console import Bar
from distill.system.errors import ProcessError
from distill.tracking.metrics_csv import MetricsCsv
from distill.tracking.weights_biases import finish
from distill.training.base import SELECTION, TrainingModule
from distill.training.callbacks import Curves, LastCheckpoint
from distill.training.checkpoint import (
    AtomicCheckpoint,
    FitResult,
    FitSession,
    read_checkpoint,
    stopped_states,
)
from distill.training.data import Rows, TrainingData, batches_between_validations, total_steps
from distill.training.devices import on_gpu, resolve_precision
from distill.training.interrupt import Interrupt
from distill.training.launch import processes, shared

__all__ = ["FitResult", "FitSession", "fit"]

logger = logging.getLogger("distill")

_PRECISIONS: dict[str, Any] = {"fp32": "32-true", "bf16": "bf16-mixed"}


def fit(
    module: TrainingModule,
    train: Rows,
    *,
    validation: Rows | None,
    session: FitSession,
) -> FitResult:
    """Train a module, or go on with a training that was stopped, whatever stopped it.

    A training killed at any moment and started again with the same arguments ends in the same
    weights, scores and curves as one that was never stopped (bitwise on a CPU with the same
    number of threads). Afterwards ``module.model`` holds the weights with the best validation
    score; the last ones where ``validation`` is ``None`` or the module has no score. A module
    without a score is measured by its loss, before the first step too.

    Args:
        module: what is trained, built anew with its initial weights.
        train: the rows to train on.
        validation: the rows that choose.
        session: where and how.

    Raises:
        KeyboardInterrupt: Ctrl-C, or a scheduler's signal; a checkpoint was written first.
        ProcessError: the session asks for another number of processes than there are.
        RunFolderError: the session's folder holds a checkpoint of another training.
        UserError: the loss is not a number.
    """
    job = _job(module, train, validation, session)
    done = _go_on(job)
    with (
        quiet_lightning(),
        Interrupt() as interrupt,
        Bar(session.name, job.steps, done=done) as bar,
    ):
        try:
            with shared(_take_part, replace(job, session=replace(session, loggers=()))):
                curves = Curves(session, bar)
                trainer = _train(job, curves, interrupt)
        except SystemExit:
            # What Lightning makes of a second Ctrl-C.
            if not interrupt.asked:
                raise
        finally:
            finish(session.loggers)
    interrupt.check()
    if session.trainer.sharded:
        module.load_state_dict(read_checkpoint(session.last)["state_dict"])
    return _result(module, trainer, curves)


def _job(module: TrainingModule, train: Rows, validation: Rows | None, session: FitSession) -> _Job:
    """What every process is given; the module as it will be trained."""
    trainer = session.trainer
    if trainer.processes != processes():
        raise ProcessError(
            f"trainer: {trainer.processes} processes, and this is one of {processes()}: "
            "call it in distill.training.launch.on_devices"
        )
    size = module.train_config.batch_size
    sampler = make_sampler(train, size, seed=session.seed, world=trainer.processes)
    shared_cores = 1 if on_gpu(trainer) else trainer.devices
    threads = max(1, torch.get_num_threads() // shared_cores)
    # What is sharded stays so: a copy, whose weights come back from its checkpoint.
    trained = copy.deepcopy(module) if trainer.sharded else module
    return _Job(trained, train, validation, session, len(sampler), threads)


@dataclass(frozen=True)
class _Job:
    """A training as each of its processes is given it."""

    module: TrainingModule
    train: Rows
    validation: Rows | None
    session: FitSession
    #: Batches of an epoch.
    batches: int
    #: CPU threads of each process.
    threads: int

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return total_steps(self.module.train_config, self.batches)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a training must have in common with this one to go on from it."""
        config = self.module.train_config
        return {
            "batches": self.batches,
            "steps": self.steps,
            "accumulate_grad_batches": config.accumulate_grad_batches,
            "val_check_interval": config.val_check_interval,
            "seed": self.session.seed,
        }


def _take_part(job: _Job) -> None:
    """A training in a process that neither logs nor writes anything."""
    bar = Bar(job.session.name, job.steps)  # not entered: nothing is drawn
    with quiet_lightning(), Interrupt() as interrupt:
        _train(job, Curves(job.session, bar), interrupt)


def _go_on(job: _Job) -> int:
    """Bring the folder and the curves back to where the training was stopped; the steps done."""
    session = job.session
    states = stopped_states(session, job.fingerprint)
    step, seconds, scored = 0, 0.0, False
    if states:
        step, seconds = states["step"], states["Curves"]["seconds"]
        history = states["Curves"]["history"]
        scored = bool(history) and history[-1]["step"] == step
        logger.info("%s: goes on from step %d of %d", session.name, step, job.steps)
    for target in session.loggers:
        if isinstance(target, MetricsCsv):
            target.go_on(step, seconds=seconds, scored=scored)
    return step


def _train(job: _Job, curves: Curves, interrupt: Interrupt) -> L.Trainer:
    module, session, config = job.module, job.session, job.module.train_config
    data = TrainingData(job.train, job.validation, batch_size=config.batch_size, seed=session.seed)
    module.logs_losses = False
    by_steps = config.max_steps is not None
    across_epochs = isinstance(config.val_check_interval, int)
    trainer = L.Trainer(
        accelerator=session.trainer.accelerator,
        devices=session.trainer.devices,
        num_nodes=session.trainer.num_nodes,
        strategy=_strategy(session.trainer),
        precision=_PRECISIONS[resolve_precision(session.trainer)],
        deterministic=session.trainer.deterministic or None,
        max_epochs=-1 if by_steps else config.epochs,
        max_steps=config.max_steps or -1,
        accumulate_grad_batches=config.accumulate_grad_batches,
        gradient_clip_val=config.gradient_clip_val or None,
        val_check_interval=batches_between_validations(config, job.batches),
        check_val_every_n_epoch=None if across_epochs else 1,
        limit_val_batches=0 if job.validation is None else None,
        # What has no score is measured before the first step too.
        num_sanity_val_steps=-1 if module.chooses_by is None else 0,
        enable_progress_bar=False,  # Curves draws ours
        enable_model_summary=False,
        use_distributed_sampler=False,  # the batches are divided already
        logger=False,  # Curves has them
        callbacks=[curves, *_callbacks(job, interrupt)],
        # Who started the processes; in a SLURM job Lightning would count the job's tasks.
        plugins=[
            AtomicCheckpoint(),
            TorchElasticEnvironment() if distributed.several() else LightningEnvironment(),
        ],
        default_root_dir=session.folder,
    )
    last = session.last if session.last.is_file() else None
    threads = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=True)
    finally:
        torch.set_num_threads(threads)
    return trainer


def _callbacks(job: _Job, interrupt: Interrupt) -> list[L.Callback]:
    session, patience = job.session, job.module.train_config.patience
    callbacks: list[L.Callback] = []
    if job.validation is not None and job.module.chooses_by is not None:
        if patience is not None:
            callbacks.append(
                EarlyStopping(
                    SELECTION,
                    mode="max",
                    patience=patience,
                    check_finite=False,
                    check_on_train_epoch_end=False,
                )
            )
        callbacks.append(
            ModelCheckpoint(
                session.checkpoints,
                filename="best-{step}",
                auto_insert_metric_name=False,
                monitor=SELECTION,
                mode="max",
                save_weights_only=True,
                save_on_train_epoch_end=False,
                enable_version_counter=False,
                # Not 1: the weights that the last checkpoint names must outlive better ones until
                # the next checkpoint is written.
                save_top_k=2,
            )
        )
    return [*callbacks, LastCheckpoint(session, interrupt, job.fingerprint)]


def _strategy(config: TrainerConfig) -> str | Strategy:
    """One process, or the mean of the gradients of several.

    Parameters without a gradient (a head, while inner layers are matched) are looked for in each
    step; buffers never change and are not sent.
    """
    if not distributed.several():
        return "auto"
    if config.sharded:
        return ModelParallelStrategy(
            config.processes, tensor_parallel_size=1, save_distributed_checkpoint=False
        )
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)


def _result(module: TrainingModule, trainer: L.Trainer, curves: Curves) -> FitResult:
    best_score, best_step = None, trainer.global_step
    chosen, early = trainer.checkpoint_callback, trainer.early_stopping_callback
    if isinstance(chosen, ModelCheckpoint) and chosen.best_model_path:
        best = read_checkpoint(chosen.best_model_path)
        module.load_state_dict(best["state_dict"])
        best_step = best["global_step"]
        best_score = next(
            entry["metrics"][module.chooses_by]
            for entry in curves.history
            if entry["step"] == best_step
        )
    module.model.eval()
    return FitResult(
        best_score=best_score,
        best_step=best_step,
        steps=trainer.global_step,
        seconds=curves.seconds,
        stopped_early=isinstance(early, EarlyStopping) and early.wait_count >= early.patience,
        history=curves.history,
    )


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's tips, device lines and advice inside the block; errors still come through.

    Advice concerns what is chosen here on purpose: no workers (batches are memory-mapped), folders
    that exist (a resumed run), a loader that Lightning cannot see to be resumable. Warnings raised
    elsewhere are left alone.
    """
    names = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric")
    loggers = [logging.getLogger(name) for name in names]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Lightning's warnings carry the caller's module, so its own files are matched.
            warnings.filterwarnings("ignore", module=r"lightning(_fabric|_utilities)?\b.*")
            warnings.filterwarnings("ignore", message=r".*(DataLoader|dataloader|num_workers).*")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
