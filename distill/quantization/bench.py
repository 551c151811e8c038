"""Ways to make a model int8, each written, scored, weighed and timed by the same code."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distill.evaluation.cost import bytes_of
from distill.export.bundle import MODEL_FILES
from distill.export.openvino import export_openvino
from distill.quantization.calibrate import Row, calibrated
from distill.quantization.graph import Int8, Scales
from distill.quantization.int8_training import Lessons
from distill.quantization.methods.base import QuantizeStage
from distill.quantization.onnx_int8 import quantize_onnx, quantize_per_batch, quantize_qdq

logger = logging.getLogger("distill")


@dataclass(frozen=True)
class Run:
    """Data, models and measurements, as a quantize stage offers them."""

    name: str  # the stage's
    folder: Path  # the stage's
    metric: str  # the name of the score
    openvino: bool  # whether the bundle will hold OpenVINO's files
    rows: Callable[[int], list[Row]]  # so many training rows, the same ones for the same seed
    #: the score of a file of a format on the validation examples
    score: Callable[[Path, str], float]
    student: Callable[[], PreTrainedModel]  # gives the student as it comes to the stage
    #: medians of one row at the usual length, of files with their formats, in turns
    milliseconds: Callable[[Sequence[tuple[Path, str]]], list[float]]
    lessons: Callable[[int], Lessons]  # what a training for int8 with a batch size learns from


@dataclass(frozen=True)
class Candidate:
    """One way that was tried."""

    what: str  # in words, such as ``dynamic, per channel``
    format: str  # a key of :data:`distill.runtime.backends.ENGINES`
    path: Path  # the file
    score: float  # on the validation examples
    drop: float  # how much lower that is than in fp32
    bytes: int  # of the weights
    ms: float | None = None  # median of one row at the usual length, where it was timed
    #: what the bundle says of the format, such as ``activation_scales``
    facts: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """For ``stage.json``."""
        return {
            key: value for key, value in asdict(self).items() if key not in ("path", "facts")
        } | dict(self.facts)

    def line(self, metric: str) -> str:
        """In one line."""
        time = "" if self.ms is None else f", {self.ms:.3g} ms"
        size = f"{self.bytes / 1e6:.3g} MB"
        return f"{self.what}: {metric} {self.score:.4f} ({0.0 - self.drop:+.4f}), {size}{time}"


class Bench:
    """Where candidates of one stage are made; keeps what was tried, in order.

    ``plain`` is the fp32 file, of ``format``.
    """

    def __init__(self, config: QuantizeStage, run: Run, plain: Path, format: str = "onnx") -> None:
        self.config = config
        self.run = run
        self.plain = plain
        self.plain_format = format
        self.before = run.score(plain, format)
        self.tried: list[Candidate] = []
        self.folder = run.folder / "tried"
        # A stage that was killed begins anew: its candidates are not looked at.
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    @cached_property
    def rows(self) -> list[Row]:
        """Training rows to calibrate with."""
        return self.run.rows(self.config.calibration_examples)

    @cached_property
    def scales(self) -> Mapping[str, Scales]:
        """Calibrated scales of the fp32 graph."""
        return calibrated(self.plain, self.rows, calibration=self.config.calibration)

    def static_int8(self, *, per_channel: bool, exclude: Collection[str]) -> Int8:
        """Int8 with calibrated scales of activations."""
        bits = self.config.weight_bits
        return Int8(scales=self.scales, per_channel=per_channel, weight_bits=bits, exclude=exclude)

    def try_engines(self, how: str, int8: Int8, source: Path | None = None) -> list[Candidate]:
        """Try products in int8 with fixed scales, for each engine that the bundle will hold."""
        formats = ["onnx-int8", "openvino-int8"] if self.run.openvino else ["onnx-int8"]
        return [self.try_int8(how, int8, source=source, format=format) for format in formats]

    def try_int8(
        self,
        how: str,
        int8: Int8,
        *,
        source: Path | None = None,
        format: str = "onnx-int8",
        activation_scales: str = "calibrated",
    ) -> Candidate:
        """Try products in int8.

        Args:
            how: the method in words.
            int8: the scales.
            source: the fp32 file; ``None`` takes the stage's.
            format: ``onnx-int8`` or ``openvino-int8``.
            activation_scales: ``calibrated``, ``per_token`` or ``per_batch``.
        """
        channels = "per channel" if int8.per_channel else "per tensor"
        engine = ", OpenVINO" if format == "openvino-int8" else ""
        write = write_openvino if engine else quantize_onnx
        if activation_scales == "per_batch":
            write = quantize_per_batch
        return self.try_out(
            f"{how}, {channels}{excluded(int8.exclude)}{engine}",
            format,
            lambda path: write(source or self.plain, path, int8),
            facts={"activation_scales": activation_scales, "weight_bits": int8.weight_bits},
        )

    def try_out(
        self,
        what: str,
        format: str,
        make: Callable[[Path], None],
        *,
        facts: Mapping[str, Any] = {},
    ) -> Candidate:
        """Write a candidate's file, score it, and say what came out."""
        suffix = Path(MODEL_FILES[format]).suffix
        path = self.folder / f"{len(self.tried):02d}{suffix}"
        make(path)
        score = self.run.score(path, format)
        drop = self.before - score
        candidate = Candidate(what, format, path, score, drop, bytes_of(path), facts=facts)
        self.tried.append(candidate)
        logger.info("%s: %s", self.run.name, candidate.line(self.run.metric))
        return candidate

    def passes(self, candidate: Candidate) -> bool:
        """Whether a candidate's score is near enough to that in fp32."""
        return candidate.drop <= self.config.max_drop + 1e-9  # a difference of rounded scores

    def time(self) -> None:
        """Time everything that was tried, in turns."""
        times = self.run.milliseconds([(one.path, one.format) for one in self.tried])
        self.tried = [replace(one, ms=ms) for one, ms in zip(self.tried, times, strict=True)]
        for one in self.tried:
            logger.info("  %s", one.line(self.run.metric))


def write_openvino(source: Path, target: Path, int8: Int8) -> None:
    """Write OpenVINO's files of a graph with fixed scales."""
    pairs = target.with_suffix(".qdq.onnx")
    quantize_qdq(source, pairs, int8)
    export_openvino(pairs, target)
    pairs.unlink()


def excluded(names: Collection[str]) -> str:
    """Which layers are left out, in words; nothing where none is."""
    if not names:
        return ""
    first = ", ".join(list(names)[:3]) + (", ..." if len(names) > 3 else "")
    return f", {len(names)} {'layer' if len(names) == 1 else 'layers'} in fp32 ({first})"
