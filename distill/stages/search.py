"""``layer_map: search``: a short training with each of several maps, the best one taken."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from distill.capture.layer_map import LayerMap, candidates
from distill.objectives import make_objectives
from distill.recipe.schema import DistillStage, LayerSearch
from distill.run_folder import read_mapping
from distill.stages.context import StageContext
from distill.system import atomic
from distill.training.distill import DistillModule
from distill.training.fit import fit
from teachers.cache import TeacherLogits

logger = logging.getLogger("distill")


def search_layer_map(
    config: DistillStage, context: StageContext, *, logits: TeacherLogits
) -> tuple[list[list[int]], dict[str, Any]]:
    """Train the stage's first student with each candidate and score it on the validation examples.

    Each candidate starts from the same weights and sees the same rows: ``steps`` optimiser steps
    of the stage's objectives, then as many of the logits alone, because a student whose head was
    not trained cannot be scored. What a candidate came to is kept in the stage's folder, so that
    a search that was stopped goes on with the next one.

    Returns:
        The pairs [student, teacher] of the map with the best score, of equal ones the first; and
        what goes into ``stage.json``: for each candidate ``name``, ``pairs``, ``score`` and
        ``steps``, in the order in which they were tried.
    """
    search = config.search or LayerSearch()
    depths = (
        context.load_student().config.num_hidden_layers,
        context.load_teacher().config.num_hidden_layers,
    )
    found = candidates(search.candidates, *depths)
    tried = []
    for number, (name, layer_map) in enumerate(found.items(), start=1):
        mark = context.folder / "search" / f"{number}.json"
        if read_mapping(mark) is None:
            atomic.write_json(
                mark, _try(layer_map, name, config, context, mark.with_suffix(""), logits)
            )
            shutil.rmtree(mark.with_suffix(""), ignore_errors=True)
        tried.append(json.loads(mark.read_text("utf-8")))
        logger.info(
            "%s: layer map %s (%d of %d): validation %s %.4f after %d steps",
            *(context.stage.name, name, number, len(found), context.workspace.task.primary),
            *(tried[-1]["score"], tried[-1]["steps"]),
        )
    best = max(tried, key=lambda one: one["score"])
    logger.info("%s: takes layer map %s", context.stage.name, best["name"])
    return best["pairs"], {"steps": search.steps, "chosen": best["name"], "tried": tried}


def _try(
    layer_map: LayerMap,
    name: str,
    config: DistillStage,
    context: StageContext,
    folder: Path,
    logits: TeacherLogits,
) -> dict[str, Any]:
    workspace, session = context.workspace, context.session()
    task = workspace.task
    search = config.search or LayerSearch()
    train = config.model_copy(
        update={"max_steps": search.steps, "val_check_interval": 1.0, "patience": None}
    )
    student, steps, score = context.load_student(), 0, -1.0
    for part, objectives in (
        ("objectives", config.objectives),
        ("logits", make_objectives([task.objective], logits_loss=task.logits_loss)),
    ):
        module = DistillModule(
            context.load_teacher() if part == "objectives" else None,
            student,
            objectives=objectives,
            layer_map=layer_map,
            mode=config.mode,
            projection=config.projection,
            train=train,
            task=task,
            teacher_logits=logits,
            seed=session.seed,
        )
        result = fit(
            module,
            workspace.train_examples,
            validation=workspace.validation_examples if part == "logits" else None,
            session=replace(
                session,
                folder=folder / part,
                name=f"{context.stage.name}: {name}, {part}",
                loggers=(),
            ),
        )
        student, steps = module.model, steps + result.steps
        score = result.best_score if result.best_score is not None else -1.0
    pairs = [list(pair) for pair in layer_map.pairs]
    return {"name": name, "pairs": pairs, "score": score, "steps": steps}
