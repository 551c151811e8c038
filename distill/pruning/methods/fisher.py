"""``fisher``: Fisher information of mask variables, then swaps within each layer; no training."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from distill.pruning.methods.units import Repair, WithWidth
from distill.section import PositiveInt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench
    from distill.pruning.units import Judged

SAMPLES = 2048


class FisherPrune(WithWidth):
    """Heads and neurons with the least Fisher information, and least squares for the others."""

    method: Literal["fisher"]
    """Fisher information of mask variables; good without any training."""
    samples: PositiveInt | None = None
    """Examples whose gradients are taken; left out, 2048."""
    default_repair: ClassVar[Repair] = "weights"

    @property
    def judged_on(self) -> int:
        return self.samples or SAMPLES

    def judge(self, student: PreTrainedModel, bench: Bench) -> Judged:
        from distill.pruning.mask_gradients import mask_gradients
        from distill.pruning.units import Judged

        gradients = mask_gradients(
            student,
            loss_of=bench.loss_of,
            batches=bench.batches(self.batch_size),
            samples=min(self.judged_on, bench.rows),
        )
        return Judged(student, gradients.diagonal(), gradients)
