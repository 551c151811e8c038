"""From the last hidden states of a row to its vector: pooling, and what may stand behind it.

Legend: B batch, L length, D hidden, C width of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

#: A config's key that marks an encoder as a sentence encoder: one of :data:`POOLINGS`, or several
#: with ``+`` between them.
POOLING = "distill_pooling"
#: A config's key with the layers that a sentence encoder has behind its pooling.
DENSE = "distill_dense"


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector of a row's hidden states.

    Args:
        hidden: (B, L, D).
        mask: (B, L), 1 for a real token and 0 for padding.
        pooling: some of :data:`POOLINGS`, with ``+`` between them.

    Returns:
        (B, D), or the vectors of several poolings one behind the other.
    """
    parts = [POOLINGS[name](hidden, mask) for name in pooling.split("+")]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def sentence_vectors(model: Any, hidden: Tensor, mask: Tensor) -> Tensor:
    """A sentence encoder's vectors: its last hidden states pooled, and its layers behind that.

    Args:
        model: the sentence encoder.
        hidden: (B, L, D).
        mask: (B, L).

    Returns:
        (B, C).
    """
    vectors = pool(hidden, mask, getattr(model.config, POOLING))
    for layer in getattr(model, "sentence_layers", ()):
        vectors = layer(vectors)
    return vectors


def _weighted(hidden: Tensor, weights: Tensor) -> Tensor:
    """The mean of tokens (B, L, D) with weights (B, L), padding having none."""
    shares = weights.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
    return (hidden * shares).sum(dim=1) / shares.sum(dim=1).clamp(min=1)


def _root_mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The sum divided by the root of the number of tokens."""
    count = mask.sum(dim=1, keepdim=True).to(hidden.dtype).clamp(min=1)  # (B, 1)
    return _weighted(hidden, mask) * count.sqrt()


def _largest(hidden: Tensor, mask: Tensor) -> Tensor:
    padding = 1.0 - mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
    lowest = torch.finfo(hidden.dtype).min / 2
    return (hidden * (1 - padding) + padding * lowest).amax(dim=1)


def _places(mask: Tensor) -> Tensor:
    """1, 2, 3, ... at real tokens and 0 at padding, (B, L)."""
    return mask * torch.cumsum(mask, dim=1)


def _last(hidden: Tensor, mask: Tensor) -> Tensor:
    places = _places(mask)
    return _weighted(hidden, places == places.amax(dim=1, keepdim=True))


#: Ways to make one vector (B, D) of a row's hidden states (B, L, D): the first token's; the mean of
#: real tokens; their largest values; their sum over the root of their number; their mean weighted
#: by 1, 2, 3, ...; the last token's. Reference: Reimers and Gurevych 2019 (Sentence-BERT),
#: section 3; Muennighoff 2022 (SGPT) for the weighted mean.
POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cls": lambda hidden, _: hidden[:, 0],
    "mean": _weighted,
    "max": _largest,
    "mean_sqrt": _root_mean,
    "weighted": lambda hidden, mask: _weighted(hidden, _places(mask)),
    "last": _last,
}
#: Activations that a layer behind the pooling may have, as torch calls them.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "Identity": nn.Identity,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "Sigmoid": nn.Sigmoid,
}


class _Layers:
    """Layers behind the pooling, such as the Dense modules of sentence-transformers."""

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)  # type: ignore[call-arg]
        own: Any = self
        own.sentence_layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(one["in_features"], one["out_features"], bias=one["bias"]),
                ACTIVATIONS[one["activation"]](),
            )
            for one in getattr(config, DENSE)
        )
        own.post_init()


@cache
def sentence_class(encoder: type) -> Any:
    """The class of an encoder with layers behind its pooling; of the encoder's own name.

    ``config.distill_dense`` holds ``in_features``, ``out_features``, ``bias`` and ``activation``
    (one of :data:`ACTIVATIONS`) of each.

    Args:
        encoder: the class of the encoder, stock or pruned.
    """
    return type(encoder.__name__, (_Layers, encoder), {})


def projection_to(width: int, hidden: int) -> list[dict[str, Any]]:
    """``config.distill_dense`` of one Linear layer from hidden states to vectors of a width."""
    shape = {"in_features": hidden, "out_features": width}
    return [{**shape, "bias": True, "activation": "Identity"}]
