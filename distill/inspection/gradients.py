r"""Integrated gradients on the word embeddings: what each token adds to an output.

.. math:: a_i = (x_i - x'_i) \cdot \int_0^1 \nabla_{x_i} f(x' + \alpha (x - x')) \, d\alpha

where :math:`x` are the text's word embeddings and :math:`x'` those with every word masked. The
attributions add up to :math:`f(x) - f(x')` (completeness). The integral is taken by Gauss-Legendre
quadrature, which needs far fewer points than equal steps, as the path is smooth.

Reference: Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks (ICML).

Legend: L tokens, D hidden width, S points of the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.inspection.result import Attribution
from distill.system.console import Bar

#: Points of the path, doubled until the sum is right.
FIRST_STEPS, MOST_STEPS = 16, 256
#: The sum may be so far from the difference, as a share of it ...
TOLERANCE = 0.01
#: ... and in the output's units, so that a difference near 0 does not ask for endless steps.
_SMALL = 0.005
#: Tokens of a forward and backward pass: what keeps memory small for a large teacher.
_TOKENS_AT_ONCE = 1024

Output = Callable[[Mapping[str, Tensor]], Tensor]


def integrated_gradients(
    model: PreTrainedModel,
    batch: Mapping[str, Tensor],
    output: Output,
    *,
    baseline_ids: Tensor,
    name: str = "attributions",
) -> Attribution:
    """Attribute an output to the tokens of one text; a token that is its own baseline gets 0.

    Args:
        model: a BERT, stock or pruned, in eval mode; left as it is.
        batch: the text's ``input_ids``, ``attention_mask`` and ``token_type_ids``, each (1, L).
        output: calls the model on a batch of S texts and gives the number that is explained, (S,).
        baseline_ids: the ids of the baseline, (1, L): the text's with its words masked.
        name: what the progress bar says.
    """
    words = model.get_input_embeddings()
    with torch.no_grad():
        start, end = words(baseline_ids), words(batch["input_ids"])  # (1, L, D)
        before, after = (float(_at(words, vectors, batch, output)[0]) for vectors in (start, end))
    steps = FIRST_STEPS
    while True:
        with Bar(name, steps) as bar:
            total = torch.zeros_like(start[0])
            for vectors, weights in _path(start, end, steps):
                total += _weighted_gradient(words, vectors, weights, batch, output)
                bar.advance(len(vectors))
        values = ((end - start)[0] * total).sum(dim=-1).double().tolist()  # (L,)
        found = Attribution(tuple(values), after, before, steps)
        allowed = max(TOLERANCE * abs(found.difference), _SMALL)
        if abs(found.gap) <= allowed or steps >= MOST_STEPS:
            return found
        steps *= 2


def _path(start: Tensor, end: Tensor, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Points of the way from ``start`` to ``end`` (S, L, D) with their weights (S,), in parts."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)  # over -1 to 1
    shares = torch.tensor((nodes + 1) / 2, dtype=start.dtype)
    parts = torch.tensor(weights / 2, dtype=start.dtype)
    at_once = max(1, _TOKENS_AT_ONCE // start.size(1))
    for share, part in zip(shares.split(at_once), parts.split(at_once), strict=True):
        yield start + share[:, None, None] * (end - start), part


def _weighted_gradient(
    words: nn.Module, vectors: Tensor, weights: Tensor, batch: Mapping[str, Tensor], output: Output
) -> Tensor:
    vectors.requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(_at(words, vectors, batch, output).sum(), vectors)
    return (weights[:, None, None] * gradient).sum(dim=0)


def _at(words: nn.Module, vectors: Tensor, batch: Mapping[str, Tensor], output: Output) -> Tensor:
    """The output with other word embeddings (S, L, D) than those of the batch's ids."""
    wide = {key: value.expand(len(vectors), -1) for key, value in batch.items()}
    # The word embeddings give these, whatever ids they are asked for.
    handle = words.register_forward_hook(lambda _module, _args, _output: vectors)
    try:
        return output(wide)
    finally:
        handle.remove()
