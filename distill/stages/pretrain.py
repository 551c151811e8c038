"""Pre-training: an encoder with heads for masked tokens and pairs, trained on unlabelled text."""

from __future__ import annotations

from distill.data.text.masking import MaskedRows, Masking
from distill.data.text.rows import TextRows
from distill.modules.fit import fit
from distill.modules.pretrain import PretrainModule
from distill.recipe.schema import PretrainStage
from distill.stages.context import StageContext, StageResult


def pretrain_stage(config: PretrainStage, context: StageContext) -> StageResult:
    """Leave an encoder with its heads; the losses on held-out text say what it learned."""
    workspace, session = context.workspace, context.session()
    masking = Masking.of(workspace.tokenizer, share=config.mask, whole_words=config.whole_words)
    text = workspace.text(pair=config.nsp)

    def masked(rows: TextRows) -> MaskedRows:
        return MaskedRows(rows, masking, seed=session.seed, nsp=config.nsp)

    module = PretrainModule(
        context.student_to_pretrain(nsp=config.nsp),
        train=config,
        nsp=config.nsp,
        seed=session.seed,
    )
    result = fit(module, masked(text.train), validation=masked(text.validation), session=session)
    return context.save_model(module.model, result, whole_words=config.whole_words, nsp=config.nsp)
