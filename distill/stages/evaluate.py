"""Evaluation: every model on the way scored, timed and weighed by the same code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from distill.evaluation.cost import bytes_of, macs, parameters, parameters_no_embeddings
from distill.evaluation.machine import machine, physical_cores
from distill.evaluation.predictors import OnnxPredictor, Predictor, TorchPredictor
from distill.evaluation.results import ModelFacts, build_results, write_results
from distill.evaluation.score import score
from distill.evaluation.speed import measure
from distill.export.bundle import tell_numbers
from distill.recipe.plan import plan_stages
from distill.recipe.schema import EvaluateStage
from distill.report.card import make_card
from distill.report.html import render_report
from distill.run_folder import RunFolder
from distill.stages.context import StageContext, StageResult, Workspace
from distill.tracking.weights_biases import log_results
from teachers.load import load_model


@dataclass(frozen=True)
class _Entry:
    """A model of the table: where it came from, how to call it, and what it weighs."""

    name: str
    stage: str
    predictor: Predictor
    model: PreTrainedModel
    weights: Path


def evaluate_stage(config: EvaluateStage, context: StageContext) -> StageResult:
    """Write ``results.json``, the report and the bundle's card; log them where asked."""
    threads = config.threads or physical_cores()
    entries = _entries(context, threads)
    workspace = context.workspace
    split = workspace.final_split
    dataset = workspace.tokenized(split)
    facts = [
        ModelFacts(
            name=entry.name,
            stage=entry.stage,
            format=entry.predictor.format,
            scores=score(entry.predictor, dataset, workspace.task),
            parameters=parameters(entry.model),
            parameters_no_embeddings=parameters_no_embeddings(entry.model),
            macs=macs(entry.model, min(config.lengths)),
            bytes=bytes_of(entry.weights),
        )
        for entry in entries
    ]
    speed = measure(
        {entry.name: entry.predictor for entry in entries},
        batch_sizes=config.batch_sizes,
        lengths=config.lengths,
        threads=threads,
        repeats=config.repeats,
        vocab_size=entries[0].model.config.vocab_size,
        seed=context.recipe.seed,
    )
    results = build_results(
        facts,
        speed,
        recipe=context.recipe.name,
        task=context.recipe.task.kind,
        metric=workspace.task.primary,
        split=split.name,
        machine=machine() | {"threads": threads},
    )
    write_results(context.run.results, results)
    _tell(context, results)
    return StageResult(outputs=[context.run.results], facts={"split": split.name})


def _entries(context: StageContext, threads: int) -> list[_Entry]:
    found = []
    for stage in context.stages:
        folder = context.run.stage(stage) / "model"
        if stage.index < context.stage.index and folder.is_dir():
            model = load_model(folder)
            predictor = TorchPredictor(model, threads, name=stage.name)
            found.append(
                _Entry(stage.name, stage.name, predictor, model, folder / "model.safetensors")
            )
    student, exported = found[-1].model, context.earlier("export")
    if exported is None:
        return found
    for name, file in (("onnx", "model.onnx"), ("onnx-int8", "model.int8.onnx")):
        path = context.run.bundle / file
        if path.is_file():
            onnx = OnnxPredictor(path, threads, name=name, format=name)
            found.append(_Entry(name, exported.name, onnx, student, path))
    return found


def _tell(context: StageContext, results: dict[str, Any]) -> None:
    """Put the numbers where people look: report, model card, bundle, W&B."""
    run = context.run
    render_report(run.path)
    bundle = run.bundle if (run.bundle / "distill.json").is_file() else None
    if bundle is not None:
        tell_numbers(bundle, results, card=make_card(results, context.recipe))
    log_results(context.recipe.track.wandb, run.path, results, bundle)


def evaluate_run(run: Path) -> dict[str, Any]:
    """Score and time the models of a finished run again, and write its results and report anew.

    Raises:
        RunFolderError: not a run folder, or its recipe has no evaluate stage.
    """
    folder = RunFolder(run)
    recipe = folder.read_recipe()
    stages = plan_stages(recipe)
    found = [stage for stage in stages if isinstance(stage.config, EvaluateStage)]
    config = found[-1].config if found else EvaluateStage(kind="evaluate")
    last = found[-1] if found else stages[-1]
    context = StageContext(folder, last, stages, Workspace(recipe))
    result = evaluate_stage(config, context)
    return {"outputs": [path.as_posix() for path in result.outputs]}
