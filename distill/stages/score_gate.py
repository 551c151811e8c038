"""The gate: a compressed model is scored again and refused if it lost too much."""

from __future__ import annotations

import logging
from pathlib import Path

from distill.evaluation.predictors import FilePredictor
from distill.evaluation.score import score
from distill.stages.context import StageContext
from distill.system.errors import GateError, quoted

logger = logging.getLogger("distill")


def scored_file(path: Path, format: str, context: StageContext) -> float:
    """The task's score of an exported file on the validation examples."""
    workspace = context.workspace
    scores = score(
        FilePredictor(path, threads=context.recipe.trainer.threads, name=format, format=format),
        workspace.tokenized(workspace.data.validation),
        context.settled_task(context.student_stage()),
    )
    return scores[workspace.task.primary]


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
            f"distill resume {quoted(context.run.path)} {_setting(context, drop)}"
        )
    logger.info(
        "%s: %s has %s %.4f (%+.4f), within %g",
        context.stage.name,
        what,
        metric,
        after,
        -drop,
        max_drop,
    )


def _setting(context: StageContext, drop: float) -> str:
    """The override that would let this drop through."""
    return f"stages.{context.stage.name}.max_drop={drop + 0.001:.3f}"
