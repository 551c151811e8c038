"""What pruning keeps: one mask over the heads and one over the neurons of every layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from distill.system.errors import ModelError
from students.anatomy import anatomy


@dataclass(frozen=True, eq=False)
class Masks:
    """What is kept of every layer, lowest first; ``True`` keeps."""

    heads: list[torch.Tensor]  # per layer bool (H,)
    ffn: list[torch.Tensor]  # per layer bool (F,), of the feed-forward neurons

    @property
    def heads_kept(self) -> list[int]:
        return [int(mask.sum()) for mask in self.heads]

    @property
    def ffn_kept(self) -> list[int]:
        return [int(mask.sum()) for mask in self.ffn]

    def check(self, model: PreTrainedModel) -> None:
        """Compare with a model; a ModelError where the masks are not as long as its layers."""
        heads, ffn = layer_sizes(model)
        for name, masks, sizes in (("heads", self.heads, heads), ("ffn", self.ffn, ffn)):
            found = [mask.numel() for mask in masks]
            if found != sizes:
                raise ModelError(
                    f"masks of the {name} are for layers of {found}, the model has {sizes}"
                )
            if any(mask.dtype is not torch.bool for mask in masks):
                raise ModelError(f"masks of the {name} must be bool tensors, True to keep")


def head_dim(model: PreTrainedModel) -> int:
    """Features of one attention head; the same in every layer."""
    config = model.config
    return int(getattr(config, "head_dim", 0) or config.hidden_size // config.num_attention_heads)


def layer_sizes(model: PreTrainedModel) -> tuple[list[int], list[int]]:
    """Heads and feed-forward neurons of every layer, lowest first."""
    if not model.config.num_hidden_layers:
        return [], []
    layers = anatomy(model).parts
    return [layer.heads for layer in layers], [layer.up.out_features for layer in layers]


def keep_best(scores: torch.Tensor, share: float) -> torch.Tensor:
    """A mask that keeps the best ``round(n * (1 - share))`` of n scores, at least one of them.

    Ties go to the lower index, so that the same scores always give the same mask.

    Example:
        >>> keep_best(torch.tensor([0.1, 0.9, 0.5, 0.5]), 0.5).tolist()
        [False, True, True, False]
    """
    count = scores.numel()
    # Of 0 it is 0: min, not max, decides.
    return keep_first(scores, min(count, max(1, round(count * (1.0 - share)))))


def keep_first(scores: torch.Tensor, kept: int) -> torch.Tensor:
    """A mask of the best ``kept`` scores; ties as for :func:`keep_best`."""
    mask = torch.zeros(scores.numel(), dtype=torch.bool)
    mask[torch.argsort(scores.cpu(), descending=True, stable=True)[:kept]] = True
    return mask
