"""Gathering the signals of one forward pass, among them scores by an attention function of ours.

Scores come through transformers' attention registry: the function registered here calls SDPA for
the output and works out ``q k^T * scale`` where a score is wanted, so that logits stay what they
are with SDPA. ``output_attentions`` would not do: it gives probabilities, of every layer, from
the slow eager path.

Legend: B batch, L length, H heads, d head width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from distill.capture.signals import Signals
from students.anatomy import encoder_of

#: The name of our attention function in transformers' registry.
ATTENTION = "distill_scores"


class Complete(Exception):  # noqa: N818 - a signal to stop the forward pass, not an error
    """Every wanted signal was seen: the rest of the model need not run."""


class Collector:
    """Gathers the signals of one forward pass and ends it when none is missing.

    Args:
        attention: the self-attention modules whose scores are wanted, and their layer.
        vectors: those whose queries, keys and values are wanted, and their layer.
        pending: how many signals are still to come.
        stop: end the forward pass when none is.
    """

    def __init__(
        self,
        attention: Mapping[nn.Module, int],
        vectors: Mapping[nn.Module, int],
        *,
        pending: int,
        stop: bool,
    ) -> None:
        self.signals = Signals()
        self._attention = attention
        self._vectors = vectors
        self._pending = pending
        self._stop = stop

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let our attention function tell this one what it sees, in this thread."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def saw_mlm(self, _module: nn.Module, _args: Any, output: Tensor) -> None:
        """Take the masked-language head's logits."""
        self.signals.mlm = output  # (N, V)
        self._arrived()

    def saw_embedding(self, _module: nn.Module, _args: Any, output: Tensor) -> None:
        """Take the embedding output."""
        self.signals.embedding = output
        self._arrived()

    def saw_hidden(self, layer: int) -> Callable[[nn.Module, Any, Any], None]:
        """A hook that takes the output of a layer."""

        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            self.signals.hidden[layer] = output[0] if isinstance(output, tuple) else output
            self._arrived()

        return hook

    def saw_vectors(self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Take queries, keys and values, if they are wanted of this module."""
        layer = self._vectors.get(module)
        if layer is None:
            return
        self.signals.queries[layer] = query  # (B, H, L, d)
        self.signals.keys[layer] = key
        self.signals.values[layer] = value
        self._arrived()

    def saw_attention(
        self, module: nn.Module, query: Tensor, key: Tensor, scaling: float | None
    ) -> None:
        """Work out the scores, if they are wanted of this module."""
        layer = self._attention.get(module)
        if layer is None:
            return
        scale = query.size(-1) ** -0.5 if scaling is None else scaling
        # In fp32 whatever autocast says: a difference of two scores near 10 is what is learned.
        with torch.autocast(query.device.type, enabled=False):
            scores = torch.matmul(query.float() * scale, key.float().transpose(2, 3))
        self.signals.attention[layer] = scores  # (B, H, L, L)
        self._arrived()

    def _arrived(self) -> None:
        self._pending -= 1
        if self._stop and self._pending == 0:
            raise Complete


_current: ContextVar[Collector | None] = ContextVar("distill_collector", default=None)


def _attention_with_scores(
    module: nn.Module,
    query: Tensor,  # (B, H, L, d), as key and value
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    collector = _current.get()
    if collector is not None:
        collector.saw_vectors(module, query, key, value)
        collector.saw_attention(module, query, key, scaling)
    return sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **rest
    )


def register() -> None:
    """Make our attention function known to transformers; doing it again changes nothing."""
    # Both, under one name: without the mask function transformers would give the attention
    # function no mask at all.
    AttentionInterface.register(ATTENTION, _attention_with_scores)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)


@contextmanager
def our_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let every layer of ``model`` use our attention function, and put back what was there."""
    config = encoder_of(model).config
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before
