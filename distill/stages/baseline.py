"""The baseline: the student trained on labels only, from the same initial weights."""

from __future__ import annotations

from distill.modules.finetune import FinetuneModule
from distill.modules.fit import fit
from distill.recipe.schema import BaselineConfig
from distill.stages.context import StageContext, StageResult


def baseline_stage(config: BaselineConfig, context: StageContext) -> StageResult:
    """Train the initial student on the labels, so that only the loss differs from distillation."""
    workspace, session = context.workspace, context.session()
    module = FinetuneModule(
        context.initial_student(), workspace.task, train=config, seed=session.seed
    )
    result = fit(
        module,
        workspace.tokenized(workspace.data.train),
        validation=workspace.tokenized(workspace.data.validation),
        session=session,
    )
    return context.save_model(module.model, result)
