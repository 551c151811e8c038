"""Which heads and neurons matter: magnitude, and the first-order effect on any loss.

``taylor``: the importance of a block of weights S is the first-order estimate of how the loss
changes without it, summed over batches b:

    I(S) = mean over b of sum over w in S of (dL_b/dw * w)^2

``l1``: the sum over S of |w|, which asks nobody but the weights.

A head's score is the sum over its rows of query, key and value, so that the three agree; a neuron's
is that of its row of the intermediate layer.

Reference: Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedModel

from distill.modules.base import Batch, LossOf
from distill.pruning.masks import Masks, layer_sizes
from distill.pruning.nni_bridge import nni_scores
from distill.pruning.search import Scores, keep_counts, left_of

__all__ = ["Batch", "LossOf", "Scores", "l1_scores", "taylor_masks", "taylor_scores"]


def taylor_masks(
    model: PreTrainedModel,
    *,
    loss_of: LossOf,
    batches: Iterable[Batch],
    heads: float,
    ffn: float,
    steps: int,
) -> Masks:
    """Choose what to keep of every layer: the heads and neurons with the largest Taylor scores.

    Of n heads (or neurons) of a layer, ``round(n * (1 - share))`` are kept, at least one; a layer
    that has none stays without.

    Args:
        model: a BERT, stock or pruned; left as it is.
        loss_of: ``loss_of(model, batch)``, a scalar: what the pruned model should keep low, such as
            the distillation loss. Called in eval mode.
        batches: at least one batch; may be without end.
        heads: share of the heads removed in every layer.
        ffn: share of the feed-forward neurons removed in every layer.
        steps: how many batches are used; fewer where there are fewer.

    Raises:
        DataError: there are no batches.
        ModelError: the model is not a BERT, or its scores are not numbers.
    """
    scores = taylor_scores(model, loss_of=loss_of, batches=batches, steps=steps)
    sizes = layer_sizes(model)
    return keep_counts(
        scores,
        heads=left_of(sizes[0], heads, uniform=True),
        ffn=left_of(sizes[1], ffn, uniform=True),
    )


def taylor_scores(
    model: PreTrainedModel, *, loss_of: LossOf, batches: Iterable[Batch], steps: int
) -> Scores:
    """Score every head and neuron by NNI's Taylor pruner; see :func:`taylor_masks`.

    Raises:
        DataError: there are no batches.
        ModelError: the model is not a BERT, or its scores are not numbers.
    """
    return nni_scores("taylor", model, loss_of=loss_of, batches=batches, steps=steps)


def l1_scores(model: PreTrainedModel) -> Scores:
    """Score every head and neuron by the magnitude of its weights, with NNI's L1 norm pruner.

    Raises:
        ModelError: the model is not a BERT, or its weights are not numbers.
    """
    return nni_scores("l1", model)
