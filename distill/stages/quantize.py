"""Quantisation: int8, scored again before it passes, and a way back where it loses too much."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from distill.data.batches import make_loader
from distill.data.split import Split
from distill.evaluation.predictors import FilePredictor
from distill.evaluation.score import score
from distill.evaluation.speed import measure
from distill.export.bundle import MODEL_FILES
from distill.export.openvino import is_installed, weights_of
from distill.export.plain import export_plain
from distill.quantization.bench import Bench, Candidate, Run
from distill.quantization.calibrate import Row
from distill.quantization.graph import products
from distill.quantization.int8_training import Lessons
from distill.quantization.onnx_int8 import plain_graph
from distill.recipe.schema import ExportStage, QuantizeStage
from distill.stages.context import StageContext, StageResult
from distill.stages.distill import output_loss, teacher_logits
from distill.system.errors import GateError, ModelError, quoted
from distill.system.processor import physical_cores, processor
from distill.training.base import Batch
from teachers.load import load_model

logger = logging.getLogger("distill")

_TIMED_CALLS = 50


def run_of(context: StageContext) -> Run:
    """What methods are given of a run."""
    exports = [one.config for one in context.stages if isinstance(one.config, ExportStage)]
    return Run(
        name=context.stage.name,
        folder=context.folder,
        metric=context.workspace.task.primary,
        openvino=is_installed() and any(export.exports("openvino") for export in exports),
        rows=lambda count: sample_examples(context, context.workspace.data.train, count),
        score=lambda path, format: scored_file(path, format, context),
        student=lambda: load_model(context.trained_student_folder()),
        milliseconds=partial(_milliseconds, context),
        lessons=partial(_lessons, context),
    )


def _milliseconds(context: StageContext, files: Sequence[tuple[Path, str]]) -> list[float]:
    workspace = context.workspace
    threads = context.recipe.trainer.threads or physical_cores()
    length = max(2, int(np.median(workspace.tokenized(workspace.data.validation).lengths)))
    names = [f"{index:02d}" for index in range(len(files))]
    speed = measure(
        {
            name: FilePredictor(path, threads, name=name, format=format)
            for name, (path, format) in zip(names, files, strict=True)
        },
        batch_sizes=[1],
        lengths=[length],
        threads=threads,
        repeats=_TIMED_CALLS,
        # Ids of real rows are what is looked up; any will do for the time it takes.
        vocab_size=int(workspace.tokenizer.vocab_size),
        seed=context.recipe.seed,
    )
    logger.info("%s: timed at batch 1, length %d:", context.stage.name, length)
    return [next(iter(speed[name]["latency_ms"].values()))["p50"] for name in names]


def _lessons(context: StageContext, batch_size: int) -> Lessons:
    workspace, recipe = context.workspace, context.recipe
    rows = workspace.tokenized(workspace.data.train)

    def batches(epoch: int) -> Iterator[Batch]:
        yield from make_loader(rows, batch_size, seed=recipe.seed + 1000 * epoch, shuffle=True)

    return Lessons(
        loss_of=output_loss(workspace.task, teacher_logits(context)),
        batches=batches,
        steps=math.ceil(len(rows) / batch_size),
        seed=recipe.seed + context.stage.index,
        checkpoint=context.folder / "checkpoint" / "last.ckpt",
        every=recipe.trainer.checkpoint_steps,
    )


def file_predictor(path: Path, format: str, context: StageContext) -> FilePredictor:
    """An exported file as it is run, on the recipe's threads."""
    return FilePredictor(path, context.recipe.trainer.threads, name=format, format=format)


def scored_file(path: Path, format: str, context: StageContext) -> float:
    """The task's score of an exported file on the validation examples."""
    return scored(file_predictor(path, format, context), context)


def scored(predictor: FilePredictor, context: StageContext) -> float:
    """The same of one that is open."""
    task = context.settled_task(context.student_stage())
    rows = context.workspace.tokenized(context.workspace.data.validation)
    return score(predictor, rows, task)[task.primary]


def pass_gate(
    what: str, *, before: float, after: float, max_drop: float, context: StageContext
) -> None:
    """Let a model through whose score fell by no more than ``max_drop``.

    Raises:
        GateError: it fell by more; the message says by how much and how to go on.
    """
    drop = before - after
    metric = context.workspace.task.primary
    if drop > max_drop:
        raise GateError(
            f"{context.stage.name}: {what} has {metric} {after:.4f}, {drop:.4f} below "
            f"{before:.4f}; max_drop is {max_drop:g}. What was done is kept; to accept it: "
            f"distill resume {quoted(context.run.path)} "
            f"stages.{context.stage.name}.max_drop={drop + 0.001:.3f}"
        )
    logger.info(
        "%s: %s has %s %.4f (%+.4f), within %g",
        *(context.stage.name, what, metric, after, -drop, max_drop),
    )


def sample_examples(context: StageContext, split: Split, count: int) -> list[Row]:
    """Rows of a split drawn by the recipe's seed, each alone: three int64 arrays (1, L)."""
    data = context.workspace.tokenized(split)
    draw = np.random.default_rng(context.recipe.seed)
    chosen: Sequence[int] = draw.permutation(len(data))[:count].tolist()
    return [_row(data[index]) for index in sorted(chosen)]


def _row(item: Mapping[str, Any]) -> Row:
    ids = np.asarray(item["input_ids"], dtype=np.int64)[None]  # (1, L)
    types = np.asarray(item["token_type_ids"], dtype=np.int64)[None]
    return ids, np.ones_like(ids), types


def quantize_stage(config: QuantizeStage, context: StageContext) -> StageResult:
    """Leave the fp32 graph and what was kept, under their names in a bundle.

    Raises:
        GateError: int8 costs more of the score than ``max_drop``, and ``fallback`` is off.
    """
    for name in MODEL_FILES.values():  # of a stage that was killed
        (context.folder / name).unlink(missing_ok=True)
    run = run_of(context)
    samples = sample_examples(context, context.workspace.data.validation, 4)
    format, plain = export_plain(run.student(), context.folder, samples=samples)
    _check_names(config, plain)
    bench = Bench(config, run, plain, format)
    kept = [candidate for candidate in config.candidates(bench) if bench.passes(candidate)]
    if not kept and not config.fallback:
        best = max(bench.tried, key=lambda candidate: candidate.score)
        pass_gate(
            best.what,
            before=bench.before,
            after=best.score,
            max_drop=config.max_drop,
            context=context,
        )
    if not kept and (found := config.step_back(bench)) is not None:
        kept = [found]
    return _result(bench, kept, _keep_files(kept, context.folder))


def _check_names(config: QuantizeStage, plain: Path) -> None:
    names = [product.name for product in products(plain_graph(plain))] if config.exclude else []
    for name in config.exclude:
        if name not in names:
            raise ModelError(f"quantize.exclude: no layer '{name}'; there are: {', '.join(names)}")


def _keep_files(kept: list[Candidate], folder: Path) -> dict[str, Candidate]:
    """Give the best of each format its name in the stage's folder."""
    best: dict[str, Candidate] = {}
    for candidate in kept:
        best.setdefault(candidate.format, candidate)
    for format, candidate in best.items():
        target = folder / MODEL_FILES[format]
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".xml":
            shutil.copyfile(weights_of(candidate.path), weights_of(target))
        shutil.copyfile(candidate.path, target)
    return best


def _result(bench: Bench, kept: list[Candidate], best: dict[str, Candidate]) -> StageResult:
    metric, final = bench.run.metric, kept[0] if kept else None
    line = final.line(metric) if final else f"fp32 ({metric} {bench.before:.4f}): int8 loses more"
    refused = [candidate for candidate in bench.tried if not bench.passes(candidate)]
    if refused:
        most = f"{bench.config.max_drop:g}"
        line += f"; {len(refused)} of {len(bench.tried)} tried lost more than {most}"
    logger.info("%s: kept %s", bench.run.name, line)
    # What was tried alone and kept is reported once.
    only = final if bench.tried == [final] else None
    folder, targets = bench.run.folder, [bench.plain]
    for format in best:
        target = folder / MODEL_FILES[format]
        targets += [weights_of(target), target] if target.suffix == ".xml" else [target]
    return StageResult(
        outputs=targets,
        facts={
            "score": final.score if final else bench.before,
            "score_fp32": bench.before,
            "bytes": final.bytes if final else bench.plain.stat().st_size,
            "method": bench.config.method,
            "kept": final.what if final else "fp32",
            "format": final.format if final else bench.plain_format,
            "files": {name: MODEL_FILES[name] for name in (bench.plain_format, *best)},
            "formats": {name: dict(candidate.facts) for name, candidate in best.items()},
            "tried": [candidate.record() for candidate in bench.tried],
            "isa": list(processor().isa),
            "notes": [
                *(f"tried {one.line(metric)}" for one in bench.tried if one is not only),
                f"kept {line}",
            ],
        },
    )
