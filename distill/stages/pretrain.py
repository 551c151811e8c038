"""Pre-training: an encoder with heads for masked tokens and pairs, trained on unlabelled text."""

from __future__ import annotations

from distill.data.text.masking import MaskedSequences, Masking
from distill.recipe.schema import PretrainStage
from distill.stages.context import StageContext, StageResult
from distill.training.fit import fit
from distill.training.pretrain import PretrainModule


def masked_text(
    context: StageContext, *, share: float = 0.15, whole_words: bool = False, nsp: bool = False
) -> tuple[MaskedSequences, MaskedSequences]:
    """The text to learn from and the held-out text, masked by the stage's seed.

    What is hidden is a function of (seed, epoch, row); held-out text is asked the same each time.

    Args:
        context: the stage's.
        share: share of a sequence's tokens that are asked for.
        whole_words: choose words instead of tokens.
        nsp: give pairs of segments, half of them swapped.
    """
    workspace, seed = context.workspace, context.session().seed
    masking = Masking.of(workspace.tokenizer, share=share, whole_words=whole_words)
    text = workspace.text(pair=nsp)
    return (
        MaskedSequences(text.train, masking, seed=seed, nsp=nsp),
        MaskedSequences(text.validation, masking, seed=seed, nsp=nsp),
    )


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
