"""Curves as a table of rows in one file for the whole run."""

from __future__ import annotations

import csv
import io
import os
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from distill.system import atomic

COLUMNS = ("stage", "step", "epoch", "metric", "value", "seconds")


class MetricsCsv(Logger):
    """Appends to ``metrics.csv``: one row for each metric, so that new ones need no new column.

    Columns: ``stage``, ``step`` (optimiser steps done), ``epoch`` (epochs done, with fractions),
    ``metric``, ``value`` (all its digits), ``seconds`` (spent on the stage so far).
    """

    def __init__(self, path: Path, *, stage: str) -> None:
        super().__init__()
        self.path = path
        self.stage = stage
        self._start = time.monotonic()

    @property
    def name(self) -> str:
        return self.stage

    @property
    def version(self) -> str:
        return ""  # Lightning wants one

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """Nothing: the run folder holds the recipe."""

    @rank_zero_only
    def go_on(self, step: int, *, seconds: float = 0.0, scored: bool = True) -> None:
        """Bring the file back to where the stage goes on from, and the clock with it.

        Args:
            step: rows of this stage after this step are dropped; at 0, all of them.
            seconds: time spent on the stage before.
            scored: whether the model was scored at ``step``; if not, validation examples of that
                step are dropped too, as they will be written again.
        """
        self._start = time.monotonic() - seconds
        if not self.path.is_file():
            return
        kept = [row for row in read_rows(self.path) if not self._is_after(row, step, scored)]
        text = _text([COLUMNS, *kept])
        if text != self.path.read_text("utf-8"):
            atomic.write_text(self.path, text)

    def _is_after(self, row: tuple[str, ...], step: int, scored: bool) -> bool:
        if row[0] != self.stage:
            return False
        at = int(row[1])
        return step == 0 or at > step or (at == step and not scored and _is_score(row[3]))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append metrics; ``epoch`` among them becomes the column of that name."""
        values = dict(metrics)
        epoch = values.pop("epoch", None)
        told = "" if epoch is None else f"{epoch:.6g}"
        seconds = f"{time.monotonic() - self._start:.3f}"
        rows = [
            (self.stage, str(step or 0), told, name, repr(float(value)), seconds)
            for name, value in values.items()
        ]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            if file.tell() == 0:
                rows.insert(0, COLUMNS)
            file.write(_text(rows))

    @rank_zero_only
    def save(self) -> None:
        """Make sure that the rows outlive a loss of power, as the checkpoint after them does."""
        if self.path.is_file():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())


def _is_score(metric: str) -> bool:
    return metric.startswith("validation/")


def read_rows(path: Path) -> list[tuple[str, ...]]:
    """The rows below the header; one torn by a kill is left out, as is a file not there yet."""
    content = path.read_text("utf-8") if path.is_file() else ""
    whole = content[: content.rfind("\n") + 1]
    rows = [tuple(row) for row in csv.reader(io.StringIO(whole))]
    return [row for row in rows[1:] if len(row) == len(COLUMNS)]


def _text(rows: Iterable[tuple[str, ...]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()
