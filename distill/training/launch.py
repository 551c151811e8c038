"""Several processes for one command, started by torch's elastic launcher, `torchrun` or `srun`.

Every process (rank) enters the same function. Rank 0 does what it says: it walks the stages, writes
and logs. The others wait for the trainings in it (:func:`shared`) and take part in each. What is
not training (which heads are pruned, which trial goes on) is thus decided once.
"""

from __future__ import annotations

import io
import logging
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from torch import distributed
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.distributed.rendezvous import rendezvous

from distill.recipe.schema import TrainerConfig
from distill.system.errors import ProcessError, UserError
from distill.system.messages import are_set_up, set_up_messages
from distill.training.devices import keep_freed_memory, on_gpu, started_processes
from distill.training.interrupt import stops_at_signals

T = TypeVar("T")

#: Seconds that a process waits before it fails with what may be another one's failure.
_ERROR_WAIT = 5.0
#: The other processes wait for the next training for as long as rank 0 prunes or evaluates.
_WAIT = timedelta(days=30)
#: How long rank 0 waits for their answers when a training begins.
_ANSWER_WAIT = timedelta(minutes=5)
#: How long rank 0 waits for them to end once it was stopped.
_STOP_WAIT = timedelta(seconds=10)

logger = logging.getLogger("distill")


def on_devices(trainer: TrainerConfig, function: Callable[..., T], *args: Any) -> T | None:
    """Call a function in the processes that a recipe asks for; one is this process itself.

    Processes that `torchrun` or `srun` started are used as they are; otherwise they are started
    here, on this machine, and end with this call. Function and arguments are then pickled.

    Args:
        trainer: the recipe's ``trainer`` part.
        function: what rank 0 does.
        *args: what it is called with.

    Returns:
        The function's result; ``None`` in other ranks.

    Raises:
        ProcessError: one of the processes was killed.
        RuntimeError: one of them failed; its traceback is in the message. A user's mistake is
            raised as it was there.
    """
    if trainer.processes == 1:
        with stops_at_signals():
            return function(*args)
    if started_processes() > 1:
        return _take_part(trainer, function, args)
    return _launch(trainer, function, args)


def processes() -> int:
    """How many processes take part in a training of this one."""
    return _team.world if _team else 1


@contextmanager
def shared(function: Callable[..., None], *args: Any) -> Iterator[None]:
    """Let the other ranks call a function while this one, rank 0, does its part of the same.

    Only inside the block are the processes a group: what rank 0 does alone (a score, a loss) must
    not wait for the others. Arrays that are memory-mapped are not copied to them: each opens the
    file by itself.
    """
    if _team is None:
        yield
        return
    _team.store.set(_team.next_key(), "train")
    _team.wait_for_others()
    _team.join()
    distributed.broadcast_object_list([_pickled((function, args))], src=0)
    yield
    distributed.destroy_process_group()


class _Team:
    """The processes of this run, and the store in which rank 0 says what comes next."""

    calls = 0  # of this process: a launcher's store outlives a team

    def __init__(self, backend: str) -> None:
        self.store, self.rank, self.world = next(rendezvous("env://", timeout=_WAIT))
        self.store.set_timeout(_WAIT)
        self.backend = backend

    def next_key(self) -> str:
        _Team.calls += 1
        return f"distill/{self.calls}"

    def wait_for_others(self) -> None:
        """Wait for the other processes' answers to an order.

        Raises:
            ProcessError: one of them gives none.
        """
        answers = {rank: f"distill/{self.calls}/here/{rank}" for rank in range(1, self.world)}
        try:
            self.store.wait([*answers.values()], _ANSWER_WAIT)
        except distributed.DistError as error:
            lost = [rank for rank, key in answers.items() if not self.store.check([key])]
            raise ProcessError(
                f"process {lost[0] + 1} of {self.world} (rank {lost[0]}) does not answer: it has "
                "ended, or its machine cannot be reached"
            ) from error

    def join(self) -> None:
        """Make a group of the processes for one training."""
        store = distributed.PrefixStore(f"distill/{self.calls}/group", self.store)  # type: ignore[attr-defined]
        distributed.init_process_group(
            self.backend, store=store, rank=self.rank, world_size=self.world
        )

    def follow(self) -> None:
        """Take part in each training of rank 0, which alone decides about Ctrl-C and logs.

        A scheduler's signal counts in a training, whichever process it reaches; between them the
        one that reaches rank 0 does. SIGTERM between them is a launcher's order to end.
        """
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGUSR1, lambda *_: None)
        logger.setLevel(logging.CRITICAL)
        keep_freed_memory()
        try:
            while (order := self.store.get(self.next_key())) == b"train":
                self.store.set(f"distill/{self.calls}/here/{self.rank}", "")
                self.join()
                call: list[Any] = [None]
                distributed.broadcast_object_list(call, src=0)
                function, args = pickle.loads(call[0])  # written by rank 0 of this run
                function(*args)
                distributed.destroy_process_group()
        except UserError:
            time.sleep(_ERROR_WAIT)  # rank 0 is likely to raise the same
            raise
        self.store.set(f"distill/{self.calls}/ended/{self.rank}", "")
        if order == b"stop":
            os._exit(0)  # a launcher that was stopped waits for the process, not for its result

    def dismiss(self, order: Literal["end", "stop"]) -> None:
        """Let the others end; the store, which may be in this process, stays until they did."""
        self.store.set(self.next_key(), order)
        ended = [f"distill/{self.calls}/ended/{rank}" for rank in range(1, self.world)]
        if order == "end":
            self.store.wait(ended)
            return
        with suppress(distributed.DistError):  # a scheduler may have ended them already
            self.store.wait(ended, _STOP_WAIT)


#: The processes that this one belongs to, while it is in :func:`on_devices`.
_team: _Team | None = None


def _take_part(trainer: TrainerConfig, function: Callable[..., T], args: Any) -> T | None:
    global _team
    _team = _Team("cpu:gloo,cuda:nccl" if on_gpu(trainer) else "gloo")
    result = None
    try:
        if _team.rank > 0:
            _team.follow()
            return None
        with stops_at_signals():
            result = function(*args)
    except KeyboardInterrupt:
        if not distributed.is_initialized():
            _team.dismiss("stop")
        raise
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        raise ProcessError(
            f"process {_team.rank + 1} of {_team.world} (rank {_team.rank}) has lost the "
            "connection to another one, which has ended or whose machine cannot be reached: "
            + str(error).partition("\n")[0]
        ) from error
    _team.dismiss("end")
    _team = None
    return result


def _is_lost_connection(error: BaseException) -> bool:
    return isinstance(error, RuntimeError | ProcessError) and (
        isinstance(error, distributed.DistError) or "onnection" in str(error)
    )


# Starting the processes of this machine.


def _launch(trainer: TrainerConfig, function: Callable[..., T], args: Any) -> T | None:
    ctrl_c = signal.getsignal(signal.SIGINT)
    received = [int(signal.SIGINT)]

    def pass_on(number: int) -> None:
        # As one that does not end a process that waits for the next training.
        received[0] = number
        raise SignalException("", sigval=signal.SIGUSR1)

    with (
        tempfile.TemporaryDirectory(prefix="distill-") as name,
        _quiet_and_local(),
        stops_at_signals(pass_on),
    ):
        folder = Path(name)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=trainer.devices,
            run_id="distill",
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            local_addr="127.0.0.1",
            max_restarts=0,
            signals_to_handle="" if ctrl_c is signal.SIG_IGN else "SIGINT",
            shutdown_timeout=3600,  # for a step and its checkpoint; a second Ctrl-C does not wait
        )
        level = logger.level if are_set_up() else None
        try:
            result: T = elastic_launch(config, _rank)(folder, level, trainer, function, args)[0]
            return result
        except ChildFailedError as failed:
            raise _failure(folder, trainer.devices, *failed.get_first_failure()) from failed
        except SignalException as stop:
            error = _reported_error(folder / "0") or KeyboardInterrupt()
            if isinstance(error, KeyboardInterrupt):
                error.args = (received[0],)
            raise error from stop
        finally:
            if threading.current_thread() is threading.main_thread() and ctrl_c is not None:
                signal.signal(signal.SIGINT, ctrl_c)


def _rank(
    folder: Path, level: int | None, trainer: TrainerConfig, function: Callable[..., T], args: Any
) -> T | None:
    """What each of the processes does; an error is left in the folder."""
    os.setpgid(0, 0)  # Ctrl-C in a terminal reaches the launcher, which passes it on once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if level is not None:
        set_up_messages(level)
    try:
        return _take_part(trainer, function, args)
    except BaseException as error:
        if _is_lost_connection(error):
            time.sleep(_ERROR_WAIT)  # the one that was lost is the one to report
        text = "".join(traceback.format_exception(error)).rstrip()
        kept = error if isinstance(error, UserError | OSError | KeyboardInterrupt) else None
        (folder / os.environ["RANK"]).write_bytes(pickle.dumps((kept, text)))
        raise SystemExit(1) from error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _failure(folder: Path, world: int, rank: int, failure: ProcessFailure) -> BaseException:
    name = f"process {rank + 1} of {world} (rank {rank})"
    if error := _reported_error(folder / str(rank), name):
        return error
    code = failure.exitcode
    how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    hint = "; is memory short?" if code == -signal.SIGKILL else ""
    return ProcessError(f"{name} {how}{hint}")


def _reported_error(file: Path, name: str = "the training") -> BaseException | None:
    if not file.is_file():
        return None
    error, text = pickle.loads(file.read_bytes())  # written by a process started here
    return error or RuntimeError(f"{name} failed:\n{text}")


@contextmanager
def _quiet_and_local() -> Iterator[None]:
    """Processes talk on this machine only; what torch's launcher logs is reported here instead."""
    before, disabled = dict(os.environ), logging.root.manager.disable
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # advice, which this process gave before
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    logging.disable()
    try:
        yield
    finally:
        logging.disable(disabled)
        os.environ.clear()
        os.environ.update(before)


# What is sent to the other ranks.


def _pickled(content: Any) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(content)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    """Pickles memory-mapped files by their name, where pickle would copy what is in them."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) is not np.memmap or not obj.flags.c_contiguous:
            return NotImplemented
        root = obj  # the array that was mapped, of which this may be a part or another shape
        while isinstance(root.base, np.memmap):
            root = root.base
        if not isinstance(root.base, mmap.mmap) or root.filename is None:
            return NotImplemented
        offset = root.offset + obj.ctypes.data - root.ctypes.data
        return _mapped, (str(root.filename), obj.dtype, offset, obj.shape)


def _mapped(path: str, dtype: Any, offset: int, shape: tuple[int, ...]) -> Any:
    try:
        return np.memmap(path, dtype, "r", offset, shape)
    except FileNotFoundError as error:
        raise ProcessError(
            f"{path}: not found on this machine: the run folder and the cache must lie where all "
            "machines read them (DISTILL_CACHE names the cache)"
        ) from error
