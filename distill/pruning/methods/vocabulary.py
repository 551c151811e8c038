"""``vocabulary``: subwords that the training texts do not need leave the embedding table."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from distill.pruning.methods.base import PruneStage
from distill.section import PositiveInt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench, Pruned


class VocabularyPrune(PruneStage):
    """Subwords that the training texts do not have; no weight that they use changes."""

    method: Literal["vocabulary"]
    """Subwords that the training texts do not need."""
    min_count: PositiveInt | None = None
    """Subwords that the training texts have less often go too, and their words are spelled with
    shorter ones; left out, 1."""
    own_tokens: ClassVar[bool] = True

    def describe(self) -> str:
        least = self.min_count or 1
        often = f" {least} times or more" if least > 1 else ""
        return f"keep the subwords that the training texts have{often}"

    def prune(self, student: PreTrainedModel, bench: Bench, ease: float) -> Pruned:
        from distill.pruning.bench import Pruned
        from distill.pruning.subwords import (
            count_pieces,
            coverage,
            ids_to_keep,
            trim_embeddings,
            trim_tokenizer,
        )
        from distill.recipe.model_shapes import unread_positions

        tokenizer, least = bench.tokenizer, self.min_count or 1
        counts = count_pieces(tokenizer, bench.texts("train"))
        keep = ids_to_keep(tokenizer, (piece for piece, count in counts.items() if count >= least))
        # Where positions are counted from the padding token's id, that id stays as it is.
        keep = sorted({*keep, *range(unread_positions(student.config.to_dict()))})
        known = set(keep)
        # Where less is removed than could be, the first of the others stay too: vocabularies are
        # made with the frequent subwords first.
        others = [index for index in range(len(tokenizer)) if index not in known]
        keep = sorted([*keep, *others[: round(len(others) * (1.0 - ease))]])
        trimmed = trim_tokenizer(tokenizer, keep)
        texts = bench.texts("validation")
        (pieces, rate), (new_pieces, new_rate) = (coverage(t, texts) for t in (tokenizer, trimmed))
        facts = {
            "vocabulary": {
                "before": len(tokenizer),
                "after": len(keep),
                "unknown_before": round(rate, 6),
                "unknown_after": round(new_rate, 6),
                "pieces_before": pieces,
                "pieces_after": new_pieces,
            },
            "notes": [
                f"keeps {len(keep):,} of {len(tokenizer):,} subwords; validation texts: "
                f"{rate:.2%} of subwords unknown before and {new_rate:.2%} after, "
                f"{new_pieces / max(1, pieces) - 1:+.1%} subwords"
            ],
        }
        return Pruned(trim_embeddings(student, keep), facts, trimmed)
