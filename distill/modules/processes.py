"""The other processes of a training on several devices: started with it, and ended with it.

The process that a person started is rank 0: it alone tells, logs and writes. For each further
device a fresh Python process is started when a training begins and given what is trained, the rows
and where the training stands; everything before and after a training is done by rank 0 alone.
"""

from __future__ import annotations

import io
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
from multiprocessing import connection, context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import distributed

from distill.errors import ProcessError, UserError

#: What a process does: given the job that all processes share, and its own rank.
Work = Callable[[Any, int], None]
Backend = Literal["gloo", "nccl"]

#: Seconds that a process whose training is over is given to end, and rank 0 to notice a death.
_PATIENCE = 180.0
#: Seconds that a failed process has to say why, once rank 0 has seen its connection break.
_LAST_WORDS = 5.0


class Processes:
    """Ranks 1, 2, ... at work inside the block, and this process joined to them as rank 0.

    An error in one of them ends all and is raised here. They ignore Ctrl-C, which rank 0 decides
    about, and end when rank 0 does, whatever ended it.

    Args:
        work: what they do; a function of a module's own, as they find it by its name.
        job: what it is called with. It is copied to each process, apart from arrays that are
            memory-mapped, which each opens by itself.
        world: how many processes there are, this one included.
        backend: ``gloo`` on CPUs, ``nccl`` on GPUs.

    Raises:
        ProcessError: one of the processes was killed.
        RuntimeError: one of them failed; its traceback is in the message. A user's mistake is
            raised as it was there.
    """

    def __init__(self, work: Work, job: Any, *, world: int, backend: Backend) -> None:
        self.work, self.job = work, job
        self.world, self.backend = world, backend
        self._children: list[_Child] = []
        self._threads = torch.get_num_threads()
        self._ended = threading.Event()

    def __enter__(self) -> Processes:
        self._folder = tempfile.TemporaryDirectory(prefix="distill-ranks-")
        meeting = str(Path(self._folder.name) / "meeting")
        threads = max(1, self._threads // self.world) if self.backend == "gloo" else self._threads
        place = (self.world, self.backend, meeting, threads)
        try:
            content = _pickled((self.work, self.job))
            with _environment():
                self._children = [_Child(rank, place) for rank in range(1, self.world)]
                for child in self._children:
                    child.send(content)
                for child in self._children:
                    child.wait_until_ready()
                torch.set_num_threads(threads)
                _join(0, self.world, self.backend, meeting)
        except BaseException as error:
            failed = self._failure(error, wait=0.0)
            self._end()
            if failed is not None:
                raise failed from error
            raise
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        failed = None
        if error is None:
            deadline = time.monotonic() + _PATIENCE
            for child in self._children:
                child.process.join(max(0.0, deadline - time.monotonic()))
            failed = self._failure(None, wait=0.0)
        elif isinstance(error, Exception) and not isinstance(error, UserError):
            failed = self._failure(error, wait=_LAST_WORDS)
        self._end()
        if failed is not None:
            raise failed from error

    def _failure(self, error: BaseException | None, *, wait: float) -> Exception | None:
        """What ended one of the processes, if that is what ended the training."""
        if isinstance(error, UserError | KeyboardInterrupt):
            return None
        if wait and not any(child.process.exitcode for child in self._children):
            connection.wait([child.process.sentinel for child in self._children], timeout=wait)
        failures = [child.failure() for child in self._children]
        # One that was killed, or failed by itself, before those that only lost its connection.
        found = [f for f in failures if f is not None]
        found.sort(key=lambda failure: isinstance(failure.__cause__, _LostError))
        return found[0] if found else None

    def _end(self) -> None:
        self._ended.set()
        for child in self._children:
            child.end()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        torch.set_num_threads(self._threads)
        self._folder.cleanup()

    def _watch(self) -> None:
        """End this process should it hang in an exchange with one that died (GPUs do)."""
        connection.wait([child.process.sentinel for child in self._children])
        if self._ended.wait(_PATIENCE):
            return
        failed = self._failure(None, wait=0.0)
        if failed is not None:
            # Past every capture and log: nothing after this line gets to say why the process ended.
            os.write(2, f"{failed}\n".encode())
            os._exit(1)


class _LostError(Exception):
    """A process failed because another one was gone."""


class _Child:
    """One of the other processes, and the line to it."""

    def __init__(self, rank: int, place: tuple[int, Backend, str, int]) -> None:
        self.rank, self.world = rank, place[0]
        spawn = multiprocessing.get_context("spawn")
        self._line, theirs = spawn.Pipe()
        self.process: context.SpawnProcess = spawn.Process(
            target=_child, args=(theirs, rank, *place), daemon=True, name=f"distill-rank-{rank}"
        )
        with _ignoring_ctrl_c():  # inherited: Ctrl-C in a terminal reaches every process
            self.process.start()
        theirs.close()
        self._told: tuple[str, Any, str] | None = None

    def send(self, content: bytes) -> None:
        try:
            self._line.send_bytes(content)
        except OSError as error:
            raise self._gone() from error

    def wait_until_ready(self) -> None:
        try:
            told = self._line.recv()
        except EOFError as error:
            raise self._gone() from error
        if told[0] != "ready":
            self._told = told
            raise self._gone()

    def _gone(self) -> Exception:
        self.process.join(_LAST_WORDS)
        return self.failure() or ProcessError(f"{self._name} could not be started")

    @property
    def _name(self) -> str:
        return f"process {self.rank + 1} of {self.world} (rank {self.rank})"

    def failure(self) -> Exception | None:
        """Why it failed; ``None`` if it did not, or has not yet."""
        with suppress(EOFError, OSError):
            if self._told is None and self._line.poll():
                self._told = self._line.recv()
        if self._told is not None and self._told[0] == "failed":
            _, error, text = self._told
            if isinstance(error, UserError):
                return error
            failed = RuntimeError(f"{self._name} failed:\n{text}")
            failed.__cause__ = error
            return failed
        code = self.process.exitcode
        if not code:
            return None
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = "; is memory short?" if code == -signal.SIGKILL else ""
        return ProcessError(f"{self._name} {how}{hint}")

    def end(self) -> None:
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self._line.close()


def _child(
    line: connection.Connection, rank: int, world: int, backend: Backend, meeting: str, threads: int
) -> None:
    """What runs in each of the other processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        work, job = pickle.loads(line.recv_bytes())  # written by the process that started us
        line.send(("ready", None, ""))
        _join(rank, world, backend, meeting)
        work(job, rank)
        distributed.destroy_process_group()
    except BaseException as error:
        text = "".join(traceback.format_exception(error)).rstrip()
        lost = isinstance(error, RuntimeError) and "onnection" in str(error)
        told = error if isinstance(error, UserError) else _LostError() if lost else None
        with suppress(OSError):
            line.send(("failed", told, text))
            line.close()
        os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _join(rank: int, world: int, backend: Backend, meeting: str) -> None:
    """Enter the group. Processes meet in a file: no port is opened for it."""
    store = distributed.FileStore(meeting, world)  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=store, rank=rank, world_size=world)


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
        return np.memmap, (str(root.filename), obj.dtype, "r", offset, obj.shape)


@contextmanager
def _ignoring_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _environment() -> Iterator[None]:
    """What the processes inherit: to talk on this machine only, and to keep freed memory."""
    wanted = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}
    wanted["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # advice, which rank 0 may give once
    if sys.platform == "linux":
        wanted["GLOO_SOCKET_IFNAME"] = "lo"
    added = [name for name in wanted if name not in os.environ]
    os.environ.update({name: wanted[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
