"""A training of a second or two, as a module for tests and as a script for killed processes.

The script reads jobs from standard input, ``[folder, settings]`` as JSON a line, and does each in
a process of its own, forked after the slow imports. It writes the process's exit status (negative:
the signal that killed it) to standard output, and what it said to ``FOLDER/stderr.txt``.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file
from torch import distributed
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification

from distill.recipe.schema import Objective, TrainConfig, TrainerConfig
from distill.system.errors import DataError
from distill.tasks.classification.task import Classification
from distill.tracking.metrics_csv import MetricsCsv
from distill.training.base import FinetuneModule, TrainingModule
from distill.training.distill import DistillModule
from distill.training.fit import FitResult, FitSession, fit
from distill.training.launch import on_devices

#: Reads an objective that is written as in a recipe.
_OBJECTIVE: TypeAdapter[Any] = TypeAdapter(Objective)
VOCABULARY, LABELS = 50, ("no", "yes")


class Rows(Dataset[dict[str, Any]]):
    """Rows that can be learned: the label says whether low or high tokens are more frequent."""

    pad_id = 0
    padded: ClassVar[dict[str, int]] = {}

    def __init__(self, count: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.lengths = random.integers(4, 20, count).astype(np.int32)
        self.labels = random.integers(0, 2, count)
        self.rows = [
            np.where(random.random(n) < 0.7, 1 + label * 24, 25 - label * 24)
            + random.integers(0, 24, n)
            for n, label in zip(self.lengths, self.labels, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {
            "input_ids": self.rows[index],
            "token_type_ids": np.zeros_like(self.rows[index]),
            "labels": int(self.labels[index]),
            "index": index,
        }


class Spoiled(Rows):
    """Rows that the second process of a training cannot read to their end."""

    def __init__(self, count: int, how: str) -> None:
        super().__init__(count)
        self.how = how
        self.read = 0

    def __getitem__(self, index: int) -> dict[str, Any]:
        self.read += 1
        if self.read > 20 and distributed.is_initialized() and distributed.get_rank() == 1:
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "mistaken":
                raise DataError(f"row {self.read}: no such row")
            raise ValueError("an issue of ours")
        return super().__getitem__(index)


def bert(layers: int = 2, hidden: int = 16, heads: int = 2, seed: int = 0) -> Any:
    """A random BERT with strong dropout, as small as it gets."""
    torch.manual_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=2 * hidden,
            max_position_embeddings=32,
            hidden_dropout_prob=0.2,
            attention_probs_dropout_prob=0.2,
            id2label=dict(enumerate(LABELS)),
            label2id={label: k for k, label in enumerate(LABELS)},
        )
    ).eval()


def session(folder: Path, **trainer: Any) -> FitSession:
    """A session in a folder, with its curves in ``metrics.csv`` there."""
    settings = {"precision": "fp32", "accelerator": "cpu", "checkpoint_steps": 3} | trainer
    return FitSession(
        folder=folder / "01-tiny",
        name="tiny",
        seed=5,
        trainer=TrainerConfig(**settings),
        loggers=[MetricsCsv(folder / "metrics.csv", stage="tiny")],
    )


def train(folder: Path, **settings: Any) -> tuple[Any, FitResult]:
    """Train in a folder, or go on there, in the processes that ``trainer`` asks for."""
    return _on_devices(_train, folder, settings)


def _on_devices(function: Any, folder: Path, settings: dict[str, Any]) -> Any:
    trainer = TrainerConfig(accelerator="cpu", **settings.get("trainer") or {})
    return on_devices(trainer, function, folder, settings)


def _train(folder: Path, settings: dict[str, Any]) -> tuple[Any, FitResult]:
    return alone(folder, **settings)


def alone(
    folder: Path,
    *,
    rows: int = 90,
    validation: int | None = 40,
    trainer: dict[str, Any] | None = None,
    objectives: list[Any] | None = None,
    spoiled: str | None = None,
    **config: Any,
) -> tuple[Any, FitResult]:
    """The same in this process: on labels, or with objectives on a teacher's signals."""
    settings = {"epochs": 2, "batch_size": 8, "lr": 5e-3, "warmup": 0.1} | config
    task = Classification(LABELS)
    how = TrainConfig(**settings)
    module: TrainingModule
    if objectives:
        teacher = bert(layers=4, hidden=24, seed=1)
        parts = [_OBJECTIVE.validate_python(o) if isinstance(o, dict) else o for o in objectives]
        module = DistillModule(teacher, bert(), parts, train=how, task=task, seed=5)
    else:
        module = FinetuneModule(bert(), task, train=how, seed=5)
    result = fit(
        module,
        Spoiled(rows, spoiled) if spoiled else Rows(rows),
        validation=Rows(validation, seed=1) if validation else None,
        session=session(folder, **(trainer or {})),
    )
    return module.model, result


def die_at(event: str, count: int) -> None:
    """Kill this process with SIGKILL when something happens for the ``count``-th time.

    Args:
        event: ``step`` (a batch was trained on), ``saved`` (a checkpoint was renamed into place),
            ``saving`` (it was written and not yet renamed), ``best`` (best weights were written),
            ``scored`` (a validation batch was scored). Instead of SIGKILL ``interrupt`` (a batch)
            and ``ask`` (a validation batch) send SIGINT, ``requeue`` (a batch of a SLURM job)
            SIGUSR1 and ``end`` (a batch) SIGTERM; ``-others``: to the other ranks, ``-all``: to
            every rank.
        count: from 1.
    """
    from distill.training.callbacks import Curves
    from distill.training.checkpoint import AtomicCheckpoint

    seen = 0
    # A background job inherits an ignored Ctrl-C; here it must count.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    event, _, whom = event.partition("-")
    numbers = {"interrupt": signal.SIGINT, "ask": signal.SIGINT}
    numbers |= {"requeue": signal.SIGUSR1, "end": signal.SIGTERM}
    number = numbers.get(event, signal.SIGKILL)
    if event == "requeue":  # Lightning must neither answer the signal nor count the job's tasks
        os.environ |= {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "3", "SLURM_JOB_NAME": "tiny"}

    def after(owner: Any, name: str, file: str = "") -> None:
        original = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            result = original(*args, **kwargs)
            seen += not file or Path(args[2]).name.startswith(file)
            if seen == count:
                for process in _reached(whom):
                    os.kill(process, number)
            return result

        setattr(owner, name, counting)

    if event in {"step", "interrupt", "requeue", "end"}:
        after(Curves, "on_train_batch_start")
    elif event == "saved":
        after(AtomicCheckpoint, "save_checkpoint", "last")
    elif event == "saving":
        after(torch, "save")
    elif event == "best":
        after(AtomicCheckpoint, "save_checkpoint", "best")
    elif event in {"scored", "ask"}:
        after(TrainingModule, "observe")
    else:
        raise ValueError(event)


def _reached(whom: str) -> list[int]:
    """The processes that a signal is sent to."""
    if not whom:
        return [os.getpid()]
    parent = psutil.Process().parent()
    assert parent is not None
    ranks = [one.pid for one in parent.children()]
    return ranks if whom == "all" else [one for one in ranks if one != os.getpid()]


def job(folder: Path, settings: dict[str, Any]) -> None:
    """Train, and leave ``final.safetensors`` and ``result.json`` in the folder."""
    _on_devices(_job, folder, settings)


def _job(folder: Path, settings: dict[str, Any]) -> None:
    death = settings.pop("death", None)
    if death is not None:
        die_at(*death)
    model, result = alone(folder, **settings)
    save_file(model.state_dict(), folder / "final.safetensors")
    told = {"score": result.best_score, "step": result.best_step, "steps": result.steps}
    told |= {"stopped": result.stopped_early, "history": result.history}
    (folder / "result.json").write_text(json.dumps(told))


def forked(folder: Path, settings: dict[str, Any]) -> int:
    """Do a job in a process of its own, or as so many ``tasks`` of `srun`; rank 0's exit status."""
    folder.mkdir(exist_ok=True)
    tasks = settings.pop("tasks", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(tasks)}
    ranks = []
    for rank in map(str, range(tasks)):
        ranks.append(os.fork())
        if ranks[-1] == 0:
            if tasks > 1:
                os.environ |= started | {"RANK": rank, "LOCAL_RANK": rank}
                settings["trainer"] = {**(settings.get("trainer") or {}), "devices": tasks}
            _end_with(folder / f"stderr{'' if rank == '0' else rank}.txt", folder, settings)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in ranks]
    return statuses[0]


def _end_with(errors: Path, folder: Path, settings: dict[str, Any]) -> None:
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    status = 1
    try:
        job(folder, settings)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        where, given = json.loads(line)
        print(forked(Path(where), given), flush=True)
