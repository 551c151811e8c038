"""Learned projections from the student's width to the teacher's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast

import torch
from torch import Tensor, nn

from distill.system.errors import ModelError


class Projections(nn.Module):
    """Linear maps W_h: student width d' to teacher width d, with bias.

    They start as the identity (padded with zeros where the teacher is wider), which is exact for
    a student whose width was sliced from the teacher's, draws no random numbers, and is learned
    from there. They are there at equal widths too: a projector helps even then. TinyBERT's code
    starts them like BERT's own layers instead, which ``seed`` asks for.

    Args:
        student_hidden: d'.
        teacher_hidden: d.
        layers: keys that are projected: student layers counted from 1, 0 for the embedding, and
            below 0 for sentence vectors.
        vectors: widths of the student's and the teacher's sentence vectors; left out, d' and d.
        kind: ``per_layer`` (one each) or ``shared`` (one for all).
        seed: draws the weights from N(0, 0.02^2) with this seed; left out, the identity.

    Reference:
        TinyBERT, equations 8 and 9; shared in the first published code, one each in its second
        models.
    """

    def __init__(
        self,
        student_hidden: int,
        teacher_hidden: int,
        *,
        layers: Iterable[int],
        vectors: tuple[int, int] | None = None,
        kind: Literal["shared", "per_layer"] = "per_layer",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.kind = kind
        hidden = student_hidden, teacher_hidden
        widths = {
            self._name(layer): hidden if layer >= 0 or vectors is None else vectors
            for layer in sorted(set(layers))
        }
        self.maps = nn.ModuleDict({name: _identity(*both) for name, both in widths.items()})
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            for linear in self.maps.values():
                # Drawn on the host, whatever the default device: the same weights everywhere.
                weight = cast(nn.Linear, linear).weight.data
                drawn = torch.empty(weight.shape, device="cpu")
                weight.copy_(drawn.normal_(0, 0.02, generator=generator))

    def _name(self, layer: int) -> str:
        return "shared" if self.kind == "shared" and layer >= 0 else str(layer)

    def forward(self, hidden: Tensor, layer: int) -> Tensor:
        """Project a hidden state.

        Args:
            hidden: (B, L, d').
            layer: the student layer it is of, counted from 1; 0 for the embedding, below 0 for a
                sentence vector (B, d').

        Returns:
            (B, L, d).
        """
        name = self._name(layer)
        if name not in self.maps:
            raise ModelError(f"projection: no map for layer {layer}; known: {', '.join(self.maps)}")
        projected: Tensor = self.maps[name](hidden)
        return projected


def _identity(student_hidden: int, teacher_hidden: int) -> nn.Linear:
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, student_hidden, teacher_hidden)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
