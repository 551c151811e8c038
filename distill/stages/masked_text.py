"""Unlabelled text with tokens hidden, for every stage whose student tells masked tokens."""

from __future__ import annotations

from distill.data.text.masking import MaskedSequences, Masking
from distill.stages.context import StageContext


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
