"""Evaluation: every model on the way scored, timed and weighed by the same code."""

from __future__ import annotations

from pathlib import Path

from distill.evaluation.bootstrap import with_noise, write_draws
from distill.evaluation.build import build_results
from distill.evaluation.cells import REAL
from distill.evaluation.error_analysis import of_final, write_analysis
from distill.evaluation.limits import within
from distill.evaluation.machine import machine
from distill.evaluation.predictors import REFERENCE_VOCABULARY, TorchPredictor, reference
from distill.evaluation.results import (
    MAJORITY,
    Results,
    TargetScores,
    is_student,
    write_results,
)
from distill.evaluation.score import score
from distill.evaluation.speed import measure, summarise
from distill.export.bundle import add_numbers
from distill.recipe.plan import plan_stages
from distill.recipe.schema import EvaluateStage, TeacherModel
from distill.report.card import write_card
from distill.report.html import render_report
from distill.run_folder import RunFolder
from distill.stages.context import StageContext, StageResult
from distill.stages.ensemble import ensemble_scores
from distill.stages.models import ensemble_row, linear_model, models_of_run, scored_row
from distill.stages.workspace import Workspace
from distill.system.errors import RunFolderError, quoted
from distill.system.processor import physical_cores
from distill.tasks.analysis import Analysis
from distill.tracking.weights_biases import in_study, log_results
from distill.training.devices import on_gpu
from teachers.load import load_model

_NUMBERS = ("score", "retention", "parameters", "macs", "bytes", "latency_ms", "throughput")


def evaluate_stage(config: EvaluateStage, context: StageContext) -> StageResult:
    """Write ``results.json``, the report and the bundle's card; log them where asked."""
    workspace, split = context.workspace, context.workspace.final_split
    rows = workspace.tokenized(split)
    analysis = workspace.task.analysis(split, rows, workspace.tokenizer)
    results = _measured(config, context, analysis)
    kept = write_analysis(analysis, context.folder, results.final.name)
    if analysis is not None and in_study(context.run.path):
        kept += write_draws(context.folder, analysis, results.final.name)
    write_results(context.run.results, results)
    render_report(context.run.path)
    bundle = context.run.bundle if context.run.holds_bundle() else None
    if bundle is not None:
        exported = {
            row.format: row.model_dump(mode="json", include=set(_NUMBERS))
            for row in results.models
            if is_student(row.name) and row.format != "transformers"
        }
        add_numbers(bundle, exported, default=results.final.format if config.limits else None)
        write_card(bundle, context.trained_student_folder(), context.recipe, results)
    log_results(context.recipe.track.wandb, context.run.path, results, bundle)
    return StageResult(outputs=[context.run.results, *kept], facts={"split": results.split})


def _measured(config: EvaluateStage, context: StageContext, analysis: Analysis | None) -> Results:
    workspace, split = context.workspace, context.workspace.final_split
    threads = config.threads or physical_cores()
    rows = workspace.tokenized(split).lengths
    real = summarise(rows) if REAL in config.lengths else None
    fixed = [int(length) for length in config.lengths if length != REAL]
    length = max(1, round(real["mean"])) if real is not None else min(fixed)
    entries, linear = models_of_run(context, threads), linear_model(context)
    models = [scored_row(one, context, analysis, length=length) for one in linear]
    targets = _targets(context, analysis)  # before the others: the last one is the final model
    for entry in entries:
        row = scored_row(entry, context, analysis, length=length)
        if config.memory:
            row = row.model_copy(update={"memory_mb": entry.memory_mb(length, threads)})
        models.append(row)
    predictors = {entry.name: entry.on(split) for entry in (*entries, *linear)}
    other = None
    if config.against is not None:
        predictors[config.against], other = reference(
            config.against,
            threads=threads,
            length=length,
            longest=max([*fixed, *rows.tolist()]),
            labels=workspace.task.num_outputs,
            head=workspace.task.head,
        )
    vocabularies = [entry.model.config.vocab_size for entry in entries if entry.model]
    speed = measure(
        predictors,
        batch_sizes=config.batch_sizes,
        lengths=config.lengths,
        threads=threads,
        repeats=config.repeats,
        vocab_size=min([*vocabularies, *([REFERENCE_VOCABULARY] if other else [])]),
        seed=context.recipe.seed,
        example_lengths=rows.tolist(),
    )
    results = build_results(
        [*models, *ensemble_row(models, context)],
        speed,
        machine=machine() | {"threads": threads},
        reference=other,
        recipe=context.recipe.name,
        task=context.recipe.task.kind,
        metric=workspace.task.primary,
        split=split.name,
        real_lengths=real,
        targets=targets,
        limits=config.limits,
    )
    exported = context.earlier("export")
    if config.limits is not None and exported is not None:
        by_format = context.run.read_stage(exported)["scores_by_format"]
        results = within(results, config.limits, by_format)
    results = results.model_copy(update=of_final(analysis, results.final.name))
    return _with_noise(results, context, analysis)


def _targets(context: StageContext, analysis: Analysis | None) -> TargetScores | None:
    """What a teacher's targets in a file score, where there are some for the scored examples."""
    workspace = context.workspace
    if workspace.final_split.given is None:
        return None
    scores = ensemble_scores(context, workspace.final_split, analysis)
    return TargetScores(score=scores[workspace.task.primary], scores=scores)


def _with_noise(results: Results, context: StageContext, analysis: Analysis | None) -> Results:
    """The results with intervals and differences, of the predictions that were kept."""
    if analysis is None:
        return results
    scorers = {name: analysis.scorer(name) for name in analysis.models}
    scorers[MAJORITY] = analysis.majority(context.workspace.data.train)
    known = {name: scorer for name, scorer in scorers.items() if scorer is not None}
    return with_noise(results, known, len(analysis)) if known else results


def evaluate_run(run: Path) -> None:
    """Score and time the models of a finished run again, and write its results and report anew.

    Raises:
        RunFolderError: not a run folder, its recipe has no evaluate stage, or the stages before
            that one are not done.
    """
    folder = RunFolder(run)
    recipe = folder.read_recipe()
    stages = plan_stages(recipe)
    for stage in stages:
        if isinstance(stage.config, EvaluateStage):
            with folder.held():
                evaluate_stage(stage.config, StageContext(folder, stage, stages, Workspace(recipe)))
                folder.mark_again(stage)
            return
        if not folder.is_marked_done(stage):
            raise RunFolderError(
                f"{run}: stage '{stage.name}' is not done: distill resume {quoted(run)}"
            )
    raise RunFolderError(f"{run}: its recipe has no evaluate stage; add `- {{kind: evaluate}}`")


def draws_of_trial(run: Path, stage_name: str) -> None:
    """Keep what a trial that ends with a training is compared by: its scores on draws.

    Only on a CPU, where the model can be scored as it was trained.
    """
    folder = RunFolder(run)
    recipe = folder.read_recipe()
    stages = plan_stages(recipe)
    stage = next(one for one in stages if one.name == stage_name)
    model = folder.stage(stage) / "model"
    if isinstance(stage.config, EvaluateStage) or not model.is_dir() or on_gpu(recipe.trainer):
        return
    context = StageContext(folder, stage, stages, Workspace(recipe))
    teacher = stage.config if isinstance(stage.config, TeacherModel) else None
    workspace, split = context.workspace_of(stage.index), context.workspace.data.validation
    rows = workspace.tokenized(split, teacher)
    analysis = workspace.task.analysis(split, rows, workspace.tokenizer)
    task = context.settled_task(stage)
    seen = None if analysis is None else analysis.keeper(stage.name, task, rows)
    if analysis is None or seen is None:
        return
    threads = recipe.trainer.threads or physical_cores()
    predictor = TorchPredictor(load_model(model), threads, name=stage.name)
    score(predictor, rows, task, seen=seen)
    write_draws(folder.stage(stage), analysis, stage.name)
