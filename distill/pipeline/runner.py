"""Running a recipe: stages in order, each done once, and going on after a stop of any kind."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.pipeline.environment import logged, record_environment, write_data_facts
from distill.pipeline.stage_cache import inputs_digest, take_over
from distill.recipe.loader import load_recipe
from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.schema import AugmentStage, Recipe
from distill.run_folder import RunFolder, free_folder
from distill.system import atomic
from distill.system.console import clock
from distill.system.errors import DiskFullError, UserError, full_disk, quoted

if TYPE_CHECKING:
    from distill.stages.context import StageContext
    from distill.stages.workspace import Workspace

logger = logging.getLogger("distill")


def run(
    recipe: Recipe, run_dir: str | Path | None = None, *, reuse: Iterable[Path] = ()
) -> dict[str, Any]:
    """Do everything a recipe says, in a new run folder, or in one where this was begun.

    Nothing is written before the recipe, the data and the teacher's files have been checked.

    Args:
        recipe: from :func:`distill.load_recipe`.
        run_dir: a new or empty folder, or one where the same recipe's run was begun, which then
            goes on; left out, ``runs/NAME`` (or ``runs/NAME-2``, ...).
        reuse: other run folders; a stage that one of them has done from the same inputs is taken
            over from it.

    Returns:
        The content of ``results.json``; with no evaluate stage, an empty mapping.

    Raises:
        UserError: what the recipe names cannot be used, or the folder is taken.

    Example:
        >>> from distill import load_recipe, run
        >>> results = run(load_recipe("quickstart", "student.size=3x384"))  # doctest: +SKIP
    """
    folder = RunFolder(Path(run_dir) if run_dir is not None else free_folder(recipe.name))
    return _on_devices(recipe, folder, fresh=True, reuse=list(reuse))


def go_on(
    recipe: Recipe, run_dir: Path, *, until: str, reuse: Iterable[Path] = ()
) -> dict[str, Any]:
    """Do a recipe's stages, up to one of them, in a folder that may have done some before.

    Unlike :func:`run` it takes a folder that holds another recipe's stages: those whose inputs
    are the same are kept, the others are done again.

    Returns:
        The content of the last stage's ``stage.json``.
    """
    return _on_devices(recipe, RunFolder(run_dir), until=until, reuse=list(reuse))


def resume(run_dir: str | Path, *overrides: str) -> dict[str, Any]:
    """Go on with a run that was stopped, or do again what an override changes.

    Stages that are done and whose inputs are the same are kept; a stage that was under way goes
    on from its last checkpoint.

    Args:
        run_dir: the run folder.
        overrides: dotted settings such as ``stages.quantize.max_drop=0.02``.

    Returns:
        The content of ``results.json``.

    Raises:
        RunFolderError: not a run folder, or another process works in it.
    """
    folder = RunFolder(Path(run_dir))
    recipe = folder.read_recipe()
    if overrides:
        recipe = load_recipe(folder.recipe_file, *overrides)
    return _on_devices(recipe, folder, write=bool(overrides))


def _on_devices(recipe: Recipe, folder: RunFolder, **how: Any) -> dict[str, Any]:
    """Do a recipe in the processes that it asks for; nothing comes of it but in rank 0."""
    # Heavy: torch comes with these.
    from distill.system.processor import physical_cores
    from distill.training.devices import check_devices
    from distill.training.launch import on_devices

    check_devices(recipe.trainer, physical_cores())
    return on_devices(recipe.trainer, partial(_do, recipe, folder, **how)) or {}


def _do(
    recipe: Recipe,
    folder: RunFolder,
    *,
    fresh: bool = False,
    write: bool = True,
    until: str | None = None,
    reuse: Sequence[Path] = (),
) -> dict[str, Any]:
    if fresh:
        folder.check(recipe)
    workspace = prepare(recipe)
    if fresh:
        folder.create(recipe)
    elif write:
        folder.write_recipe(recipe)
    last = _work(folder, workspace, until, reuse)
    return folder.read_results() if until is None else folder.read_stage(last)


def prepare(recipe: Recipe) -> Workspace:
    """Look at everything that can be wrong before anything is written."""
    if recipe.seeds is not None:
        raise UserError(
            f"{recipe.name}: several seeds are a study: distill study RECIPE (one of them alone: "
            f"distill run RECIPE seed={recipe.seeds[0]})"
        )
    # Heavy: torch, transformers and lightning come with these.
    from distill.stages.augmenter import check_source
    from distill.stages.workspace import Workspace
    from teachers.resolve import model_folder, resolve_model

    workspace = Workspace(recipe)
    for teacher in recipe.teacher.all or [recipe.source]:
        resolve_model(teacher.model, revision=teacher.revision)
    if (start := recipe.student.start) is not None:
        model_folder(start)
    for stage in recipe.stages:
        if isinstance(stage, AugmentStage):
            check_source(stage, recipe)
    workspace.check_data()
    workspace.check_tokens()
    return workspace


def _work(
    folder: RunFolder, workspace: Workspace, until: str | None, reuse: Sequence[Path]
) -> PlannedStage:
    """Do the stages, up to one of them; the last one done is returned."""
    with folder.held(), logged(folder.log):
        record_environment(folder)
        try:
            write_data_facts(folder, workspace)
            last = _do_stages(folder, workspace, until, reuse)
            if until is None and all(s.kind != "evaluate" for s in workspace.recipe.stages):
                from distill.report.html import render_report

                render_report(folder.path)
            return last
        except KeyboardInterrupt as stop:
            stop.resume_command = f"distill resume {quoted(folder.path)}"  # type: ignore[attr-defined]
            raise
        except Exception as error:
            if full_disk(error) is not None:
                raise DiskFullError(
                    f"{folder.path}: the disk is full; what was finished is kept: free some "
                    f"space, then: distill resume {quoted(folder.path)}"
                ) from error
            raise


def _do_stages(
    folder: RunFolder, workspace: Workspace, until: str | None, reuse: Sequence[Path]
) -> PlannedStage:
    from distill.stages.context import StageContext
    from distill.training.devices import keep_freed_memory, set_threads

    stages = plan_stages(workspace.recipe)
    set_threads(workspace.recipe.trainer.threads)
    keep_freed_memory()
    done: list[PlannedStage] = []
    for stage in stages:
        inputs = inputs_digest(stage, workspace, folder, done)
        place = f"[{stage.index}/{len(stages)}] {stage.name}"
        if folder.is_done(stage, inputs):
            logger.info("%s: done before", place)
        elif source := take_over(folder, stage, inputs, reuse):
            logger.info("%s: taken over from %s", place, source)
        else:
            logger.info("%s (%s)", place, stage.kind)
            folder.begin(stage, inputs)
            told = _do_stage(StageContext(folder, stage, stages, workspace), inputs)
            logger.info("%s: %s", place, told)
        done.append(stage)
        if stage.name == until:
            break
    return done[-1]


def _do_stage(context: StageContext, inputs: str) -> str:
    """Do one stage and mark it done; how long it took and what it scored, in words."""
    from distill.stages import STAGES

    folder, stage, start = context.run, context.stage, time.monotonic()
    result = STAGES[stage.kind](stage.config, context)
    seconds = time.monotonic() - start
    facts = {"schema": 1, "name": stage.name, "kind": stage.kind}
    facts |= {"seconds": round(seconds, 3)} | result.facts
    atomic.write_json(folder.stage(stage) / "stage.json", facts)
    folder.finish(stage, inputs, result.outputs)
    folder.tidy(stage)
    if (score := facts.get("score")) is None:
        return clock(seconds)
    return f"{clock(seconds)}, validation {context.shared.task.primary} {score:.4f}"
