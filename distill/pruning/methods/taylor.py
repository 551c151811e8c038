"""``taylor``: the first-order effect of a unit's weights on the loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from distill.pruning.methods.units import WithWidth
from distill.section import PositiveInt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench
    from distill.pruning.search import Scores
    from distill.pruning.units import Judged
    from distill.training.base import Batch, LossOf

#: Batches that parts are judged on where the recipe does not say.
STEPS = 50


class TaylorPrune(WithWidth):
    """Heads and neurons with the smallest first-order effect on the distillation loss."""

    # The only one with a default, so that a section without a method is of one form alone.
    method: Literal["taylor"] = "taylor"
    """First-order effect on the distillation loss; the method where none is named."""
    score_steps: PositiveInt | None = None
    """Batches on which units are judged; left out, 50."""

    @property
    def judged_on(self) -> int:
        return (self.score_steps or STEPS) * self.batch_size

    def judge(self, student: PreTrainedModel, bench: Bench) -> Judged:
        from distill.pruning.units import Judged

        batches, steps = bench.batches(self.batch_size), self.score_steps or STEPS
        return Judged(
            student, taylor_scores(student, loss_of=bench.loss_of, batches=batches, steps=steps)
        )


def taylor_scores(
    model: PreTrainedModel, *, loss_of: LossOf, batches: Iterable[Batch], steps: int
) -> Scores:
    r"""Scores :math:`\frac1B \sum_b \sum_{w \in S} (w \, \partial L_b / \partial w)^2`, B batches.

    Of a head S are its rows of query, key and value, of a neuron its row of the intermediate layer.
    ``loss_of`` is what the pruned model should keep low, called in eval mode on ``steps`` batches,
    or fewer where there are fewer. The model is left as it is.

    Raises:
        DataError: there are no batches.
        ModelError: the scores are not numbers.

    Reference:
        Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, section 3.1.
    """
    import torch

    from distill.data.batches import to_device
    from distill.pruning.mask_gradients import frozen
    from distill.pruning.search import by_rows, first_batches, incoming_weights
    from distill.system.console import Bar

    chosen = first_batches(batches, steps)
    weights = [weight for parts, own in incoming_weights(model) for weight in (*parts, own)]
    squares = {id(weight): torch.zeros_like(weight, requires_grad=False) for weight in weights}
    weights = [weight for weight in weights if weight.numel()]
    with frozen(model, but=weights), Bar("scoring heads and neurons", len(chosen)) as bar:
        for batch in chosen:
            loss = loss_of(model, to_device(batch, model.device))
            for weight, slope in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                squares[id(weight)] += (slope * weight.detach()).square()
            bar.advance()
    return by_rows(model, lambda weight: squares[id(weight)] / len(chosen))
