"""One training from start to end: gone on with where it stopped, the best weights kept."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, Strategy
from safetensors.torch import load_model
from torch.utils.data import DataLoader

from distill.data.batches import make_collate, make_sampler
from distill.data.text.rows import TextRows
from distill.data.tokenized import TokenRows
from distill.recipe.schema import TrainConfig
from distill.system import distributed
from distill.system.console import Bar
from distill.system.errors import ProcessError
from distill.tracking.metrics_csv import MetricsCsv
from distill.tracking.weights_biases import finish
from distill.training.base import Batch, TrainingModule
from distill.training.checkpoint import AtomicCheckpoint, FitState, is_whole, read_state
from distill.training.devices import on_gpu, resolve_precision
from distill.training.interrupt import Interrupt
from distill.training.launch import processes, shared
from distill.training.session import FitResult, FitSession
from distill.training.stream import EpochStream, Plan
from distill.training.watcher import Watcher

__all__ = ["FitResult", "FitSession", "fit"]

logger = logging.getLogger("distill")

Rows = TokenRows | TextRows

_TALKERS = ("lightning.pytorch", "lightning.fabric", "lightning_fabric", "pytorch_lightning")
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
        KeyboardInterrupt: a person pressed Ctrl-C; a checkpoint was written first.
        ProcessError: the session asks for another number of processes than there are.
        RunFolderError: the session's folder holds a checkpoint of another training.
        UserError: the loss is not a number.
    """
    if session.trainer.processes != processes():
        raise ProcessError(
            f"trainer: {session.trainer.processes} processes, and this is one of {processes()}: "
            "call it in distill.training.launch.on_devices"
        )
    config = module.train_config
    sampler = make_sampler(
        train, config.batch_size, seed=session.seed, world=session.trainer.processes
    )
    plan = Plan.of(config, len(sampler))
    state = _start(session, plan)
    module.total_steps, module.total_batches = plan.steps, plan.positions
    shared_cores = 1 if on_gpu(session.trainer) else session.trainer.devices
    threads = max(1, torch.get_num_threads() // shared_cores)
    job = _Job(module, train, validation, session, plan, state, threads)
    with (
        quiet_lightning(),
        Interrupt() as interrupt,
        Bar(session.name, plan.steps, done=state.step) as bar,
    ):
        watcher = job.watcher(bar, interrupt)
        try:
            with shared(_work_along, replace(job, session=replace(session, loggers=()))):
                _train(job, watcher)
        except SystemExit:
            # What Lightning makes of a second Ctrl-C.
            if not interrupt.asked:
                raise
        finally:
            finish(session.loggers)
            module.total_steps = module.total_batches = module.position = None
    if interrupt.asked:
        raise KeyboardInterrupt
    return _result(module, session, watcher)


@dataclass(frozen=True)
class _Job:
    """A training as each of its processes is given it."""

    module: TrainingModule
    train: Rows
    validation: Rows | None
    session: FitSession
    plan: Plan
    state: FitState
    #: CPU threads of each process.
    threads: int

    def watcher(self, bar: Bar, interrupt: Interrupt) -> Watcher:
        """What looks after the training in one process."""
        config = self.module.train_config
        rows = self.validation
        return Watcher(
            self.session,
            plan=self.plan,
            state=self.state,
            validation=_Rows(rows, config.batch_size) if rows is not None else None,
            at_start=self.module.chooses_by is None,
            patience=config.patience,
            bar=bar,
            interrupt=interrupt,
        )


def _work_along(job: _Job) -> None:
    """A training in a process that neither logs nor writes anything."""
    bar = Bar(job.session.name, job.plan.steps)  # not entered: nothing is drawn
    with quiet_lightning():
        _train(job, job.watcher(bar, Interrupt()))


def _start(session: FitSession, plan: Plan) -> FitState:
    """The state to start from, with the folder and the curves brought back to it."""
    session.checkpoints.mkdir(parents=True, exist_ok=True)
    for leftover in session.checkpoints.glob(".*"):
        leftover.unlink()  # half-written files of a killed process
    state = read_state(session.last, plan, session.seed)
    best = session.best(state.selection.step)
    if state.selection.score is not None and not is_whole(best):
        logger.warning(
            "%s: %s is missing or damaged; the training begins again", session.name, best
        )
        shutil.rmtree(session.checkpoints)
        session.checkpoints.mkdir()
        state = FitState()
    if state.step:
        logger.info("%s: goes on from step %d of %d", session.name, state.step, plan.steps)
    for target in session.loggers:
        if isinstance(target, MetricsCsv):
            target.go_on(state.step, seconds=state.seconds, scored=state.evaluated())
    return state


def _train(job: _Job, watcher: Watcher) -> None:
    config, session = job.module.train_config, job.session
    batches = _Batches(job.train, config, job.plan, seed=session.seed, state=job.state)
    trainer = L.Trainer(
        accelerator=session.trainer.accelerator,
        devices=session.trainer.devices,
        num_nodes=session.trainer.num_nodes,
        strategy=_strategy(),
        precision=_PRECISIONS[resolve_precision(session.trainer)],
        deterministic=session.trainer.deterministic or None,
        max_epochs=1,  # of Lightning's: the stream holds all of ours
        accumulate_grad_batches=config.accumulate_grad_batches,
        gradient_clip_val=config.gradient_clip_val or None,
        limit_val_batches=0,  # the watcher scores
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
        logger=list(session.loggers) or False,
        callbacks=[watcher],
        plugins=[AtomicCheckpoint()],
        default_root_dir=session.folder,
    )
    last = session.last if session.last.is_file() else None
    threads = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        trainer.fit(job.module, datamodule=batches, ckpt_path=last, weights_only=True)
    finally:
        torch.set_num_threads(threads)


def _strategy() -> str | Strategy:
    """One process, or the mean of the gradients of several.

    Parameters without a gradient (a head, while inner layers are matched) are looked for in each
    step; buffers never change and are not sent.
    """
    if not distributed.several():
        return "auto"
    return DDPStrategy(find_unused_parameters=True, broadcast_buffers=False)


def _result(module: TrainingModule, session: FitSession, watcher: Watcher) -> FitResult:
    state = watcher.state
    chosen = state.selection.score is not None
    if chosen:
        load_model(module.model, session.best(state.selection.step))
    module.model.eval()
    return FitResult(
        best_score=state.selection.score,
        best_step=state.selection.step if chosen else state.step,
        steps=state.step,
        seconds=watcher.seconds,
        stopped_early=state.stopped,
        history=state.history,
    )


class _Batches(L.LightningDataModule):
    """The rest of a training's batches, for the process that asks."""

    def __init__(
        self, rows: Rows, config: TrainConfig, plan: Plan, *, seed: int, state: FitState
    ) -> None:
        super().__init__()
        self.rows, self.config, self.plan = rows, config, plan
        self.seed, self.state = seed, state

    def train_dataloader(self) -> DataLoader[Any]:
        """The batches from where the training stands; none if it is at its end."""
        sampler = make_sampler(
            self.rows,
            self.config.batch_size,
            seed=self.seed,
            rank=distributed.rank(),
            world=distributed.world_size(),
        )
        epochs = 0 if self.state.stopped else self.plan.epochs
        stream = EpochStream(
            sampler, epochs=epochs, start=self.state.position, end=self.plan.positions
        )
        return DataLoader(self.rows, batch_sampler=stream, collate_fn=make_collate(self.rows))


class _Rows:
    """Validation batches: every row once, divided among the processes there are when asked."""

    def __init__(self, rows: Rows, batch_size: int) -> None:
        self.rows, self.batch_size = rows, batch_size

    def __iter__(self) -> Iterator[Batch]:
        sampler = make_sampler(
            self.rows,
            self.batch_size,
            seed=0,
            shuffle=False,
            rank=distributed.rank(),
            world=distributed.world_size(),
        )
        yield from DataLoader(self.rows, batch_sampler=sampler, collate_fn=make_collate(self.rows))


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's tips, device lines and advice inside the block; errors still come through.

    Advice concerns what is chosen here on purpose: no workers (batches are memory-mapped), no
    validation loader (``fit`` evaluates by itself), folders that exist (a resumed run). Warnings
    raised elsewhere are left alone.
    """
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            # Lightning's warnings carry the caller's module, so its own files are matched.
            warnings.filterwarnings("ignore", module=r"lightning(_fabric|_utilities)?\b.*")
            warnings.filterwarnings("ignore", message=r".*(DataLoader|dataloader|num_workers).*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
