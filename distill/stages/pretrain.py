"""Pre-training: an encoder with heads for masked tokens and pairs, trained on unlabelled text."""

from __future__ import annotations

from distill.recipe.schema import PretrainStage
from distill.stages.context import StageContext, StageResult
from distill.stages.masked_text import masked_text
from distill.training.fit import fit
from distill.training.pretrain import PretrainModule


def pretrain_stage(config: PretrainStage, context: StageContext) -> StageResult:
    """Leave an encoder with its heads; the losses on held-out text say what it learned."""
    session = context.session()
    train, validation = masked_text(
        context, share=config.mask, whole_words=config.whole_words, nsp=config.nsp
    )
    module = PretrainModule(
        context.student_to_pretrain(nsp=config.nsp),
        train=config,
        nsp=config.nsp,
        seed=session.seed,
    )
    result = fit(module, train, validation=validation, session=session)
    return context.save_model(module.model, result, whole_words=config.whole_words, nsp=config.nsp)
