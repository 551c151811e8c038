"""Ways to make a model int8, each written, scored, weighed and timed by the same code."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from distill.compression.calibrate import Row
from distill.compression.graph import Scales
from distill.compression.static import calibrated
from distill.data.split import Split
from distill.evaluation.cost import bytes_of
from distill.evaluation.machine import physical_cores
from distill.evaluation.predictors import FilePredictor
from distill.evaluation.speed import measure
from distill.recipe.schema import QuantizeStage
from distill.stages.context import StageContext
from distill.stages.gate import scored_file

logger = logging.getLogger("distill")

_TIMED_CALLS = 50


@dataclass(frozen=True)
class Candidate:
    """One way that was tried.

    Args:
        what: in words, such as ``dynamic, per channel``.
        format: a key of :data:`distill.runtime.backends.ENGINES`.
        path: the file.
        score: on the validation rows.
        drop: how much lower that is than in fp32.
        bytes: of the weights.
        ms: median of one row at the usual length, where it was timed.
        facts: what the bundle says of the format, such as ``activation_scales``.
    """

    what: str
    format: str
    path: Path
    score: float
    drop: float
    bytes: int
    ms: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """For ``stage.json``."""
        return {
            key: value for key, value in asdict(self).items() if key not in ("path", "facts")
        } | dict(self.facts)

    def line(self, metric: str) -> str:
        """In one line."""
        time = "" if self.ms is None else f", {self.ms:.3g} ms"
        return f"{self.what}: {metric} {self.score:.4f} ({0.0 - self.drop:+.4f}), {_mb(self)}{time}"


def _mb(candidate: Candidate) -> str:
    return f"{candidate.bytes / 1e6:.3g} MB"


class Workbench:
    """Where candidates of one stage are made; keeps what was tried, in order.

    Args:
        config: the stage's configuration.
        context: the stage.
        plain: the fp32 ``.onnx`` file.
    """

    def __init__(self, config: QuantizeStage, context: StageContext, plain: Path) -> None:
        self.config = config
        self.context = context
        self.plain = plain
        self.before = scored_file(plain, "onnx", context)
        self.tried: list[Candidate] = []
        self.folder = context.folder / "tried"
        # A stage that was killed begins anew: its candidates are not looked at.
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._scales: dict[str, dict[str, Scales]] = {}

    @property
    def metric(self) -> str:
        """The name of the score."""
        return self.context.workspace.task.primary

    @cached_property
    def rows(self) -> list[Row]:
        """Training rows to calibrate with, the same ones for the same seed."""
        return sample_rows(
            self.context, self.context.workspace.data.train, self.config.calibration_rows
        )

    def scales(self, calibration: str) -> Mapping[str, Scales]:
        """Calibrated scales of the fp32 graph, found once for each method."""
        if calibration not in self._scales:
            self._scales[calibration] = calibrated(self.plain, self.rows, calibration=calibration)
        return self._scales[calibration]

    def try_out(
        self,
        what: str,
        format: str,
        make: Callable[[Path], None],
        *,
        facts: Mapping[str, Any] = {},
    ) -> Candidate:
        """Write a candidate's file, score it, and say what came out."""
        suffix = ".xml" if format.startswith("openvino") else ".onnx"
        path = self.folder / f"{len(self.tried):02d}{suffix}"
        make(path)
        score = scored_file(path, format, self.context)
        drop = self.before - score
        candidate = Candidate(what, format, path, score, drop, bytes_of(path), facts=facts)
        self.tried.append(candidate)
        logger.info("%s: %s", self.context.stage.name, candidate.line(self.metric))
        return candidate

    def passes(self, candidate: Candidate) -> bool:
        """Whether a candidate's score is near enough to that in fp32."""
        return candidate.drop <= self.config.max_drop + 1e-9  # a difference of rounded scores

    def time(self) -> None:
        """Time everything that was tried, in turns: single rows of the median real length."""
        threads = self.context.recipe.trainer.threads or physical_cores()
        data = self.context.workspace.tokenized(self.context.workspace.data.validation)
        length = max(2, int(np.median(data.lengths)))
        names = [f"{index:02d}" for index in range(len(self.tried))]
        speed = measure(
            {
                name: FilePredictor(tried.path, threads, name=name, format=tried.format)
                for name, tried in zip(names, self.tried, strict=True)
            },
            batch_sizes=[1],
            lengths=[length],
            threads=threads,
            repeats=_TIMED_CALLS,
            # Ids of real rows are what is looked up; any will do for the time it takes.
            vocab_size=int(self.context.workspace.tokenizer.vocab_size),
            seed=self.context.recipe.seed,
        )
        self.tried = [
            replace(tried, ms=next(iter(speed[name]["latency_ms"].values()))["p50"])
            for name, tried in zip(names, self.tried, strict=True)
        ]
        logger.info("%s: timed at batch 1, length %d:", self.context.stage.name, length)
        for tried in self.tried:
            logger.info("  %s", tried.line(self.metric))


def sample_rows(context: StageContext, split: Split, count: int) -> list[Row]:
    """Rows of a split drawn by the recipe's seed, each alone: three int64 arrays (1, L)."""
    data = context.workspace.tokenized(split)
    draw = np.random.default_rng(context.recipe.seed)
    chosen: Sequence[int] = draw.permutation(len(data))[:count].tolist()
    return [row_of(data[index]) for index in sorted(chosen)]


def row_of(item: Mapping[str, Any]) -> Row:
    """A row of tokens as the arrays that a graph takes."""
    ids = np.asarray(item["input_ids"], dtype=np.int64)[None]  # (1, L)
    types = np.asarray(item["token_type_ids"], dtype=np.int64)[None]
    return ids, np.ones_like(ids), types
