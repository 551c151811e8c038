"""The baseline: the same student trained on labels only, without a teacher."""

from __future__ import annotations

from distill.recipe.schema import BaselineConfig
from distill.stages.context import StageContext, StageResult
from distill.training.finetune import FinetuneModule
from distill.training.fit import fit


def baseline_stage(config: BaselineConfig, context: StageContext) -> StageResult:
    """Train the student's shape on the labels.

    Its weights start from the same layers as the student's, but of the model as it was before it
    was fine-tuned into the teacher: what one would do who has no teacher.
    """
    workspace, session = context.workspace, context.session()
    module = FinetuneModule(
        context.initial_student(context.pretrained(context.recipe.source)),
        workspace.task,
        train=config,
        seed=session.seed,
    )
    result = fit(
        module,
        workspace.tokenized(workspace.data.train),
        validation=workspace.tokenized(workspace.data.validation),
        session=session,
    )
    return context.save_model(module.model, result)
