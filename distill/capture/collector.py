"""Gathering the signals of one forward pass, among them scores by an attention function of ours.

Scores come through transformers' attention registry: the function registered here calls SDPA for
the output and works out ``q k^T * scale`` where a score is wanted, so that logits stay what they
are with SDPA. ``output_attentions`` would not do: it gives probabilities, of every layer, from
the slow eager path. What does not go through the registry is heard with hooks on its q, k and v.

Legend: B batch, L length, H heads, d head width.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import KW_ONLY, InitVar, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from distill.capture.signals import Signals
from students.anatomy import Anatomy

#: The name of our attention function in transformers' registry.
ATTENTION = "distill_scores"


class Complete(Exception):  # noqa: N818 - a signal to stop the forward pass, not an error
    """Every wanted signal was seen: the rest of the model need not run."""


@dataclass(eq=False)
class Collector:
    """Gathers the signals of one forward pass and ends it when none is missing."""

    # the self-attention module of each layer; layers may share one
    modules: InitVar[Sequence[nn.Module]]
    _: KW_ONLY
    attention: Collection[int]  # layers, counted from 1, whose scores are wanted
    vectors: Collection[int]  # layers whose queries, keys and values are wanted
    pending: int  # how many signals are still to come
    stop: bool  # end the forward pass when none is
    signals: Signals = field(default_factory=Signals, init=False)

    def __post_init__(self, modules: Sequence[nn.Module]) -> None:
        self._turns = turns(modules)

    def saw(self, signal: str) -> Callable[[nn.Module, Any, Tensor], None]:
        """A hook that takes a module's output as a signal: ``embedding`` or ``mlm``."""

        def hook(_module: nn.Module, _args: Any, output: Tensor) -> None:
            setattr(self.signals, signal, output)
            self._arrived()

        return hook

    def saw_hidden(
        self, layers: Iterator[int], wanted: Collection[int]
    ) -> Callable[[nn.Module, Any, Any], None]:
        """A hook that takes outputs of a module, whose calls are of these layers in turn."""

        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            layer = next(layers)
            if layer in wanted:
                self.signals.hidden[layer] = output[0] if isinstance(output, tuple) else output
                self._arrived()

        return hook

    def saw_attention(
        self,
        module: nn.Module,
        vectors: tuple[Tensor, Tensor, Tensor],
        scores: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        """Take what is wanted of a call of an attention module.

        Args:
            module: the attention module.
            vectors: queries, keys and values, each (B, H, L, d).
            scores: from queries and keys to scores, (B, H, L, L).
        """
        layer = next(self._turns[module])
        query, key, value = vectors
        if layer in self.vectors:
            self.signals.queries[layer] = query
            self.signals.keys[layer] = key
            self.signals.values[layer] = value
            self._arrived()
        if layer in self.attention:
            # In fp32 whatever autocast says: a difference of two scores near 10 is what is learned.
            with torch.autocast(query.device.type, enabled=False):
                self.signals.attention[layer] = scores(query.float(), key.float())
            self._arrived()

    def _arrived(self) -> None:
        self.pending -= 1
        if self.stop and self.pending == 0:
            raise Complete


def turns(modules: Sequence[nn.Module]) -> dict[nn.Module, Iterator[int]]:
    """For each module the layers, counted from 1, that its calls in a forward pass are."""
    layers: dict[nn.Module, list[int]] = {}
    for layer, module in enumerate(modules, start=1):
        layers.setdefault(module, []).append(layer)
    return {module: iter(numbers) for module, numbers in layers.items()}


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
        scale = query.size(-1) ** -0.5 if scaling is None else scaling
        collector.saw_attention(
            module, (query, key, value), lambda q, k: torch.matmul(q * scale, k.transpose(2, 3))
        )
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
def heard(parts: Anatomy, collector: Collector) -> Iterator[None]:
    """Let a collector see what every attention module of a model computes.

    Through our attention function, which is put in the place of the model's and taken back; of a
    model that does not go through the attention interface with hooks on its q, k and v.
    """
    config = parts.encoder.config
    with ExitStack() as stack:
        if parts.family.scores is not None:
            for module in dict.fromkeys(parts.attentions):
                _hear(module, parts, collector, stack)
        else:
            before = config._attn_implementation
            stack.callback(setattr, config, "_attn_implementation", before)
            config._attn_implementation = ATTENTION
            stack.callback(_current.reset, _current.set(collector))
        yield


def _hear(module: nn.Module, parts: Anatomy, collector: Collector, stack: ExitStack) -> None:
    """Hang hooks into an attention module, which the stack removes."""
    family = parts.family
    inside = family.attention + "."
    paths = [path.removeprefix(inside) for path in (family.query, family.key, family.value)]
    scores = SCORES[family.scores or ""]
    seen: dict[str, Tensor] = {}  # the first output of each since the module was called

    def saw(path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(_module: nn.Module, _args: Any, output: Tensor) -> None:
            seen.setdefault(path, output)

        return hook

    def called(_: nn.Module, args: Any, kwargs: dict[str, Any], _output: Any) -> None:
        call = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        query, key, value = (
            seen[path].unflatten(-1, (parts.heads, -1)).transpose(1, 2)  # (B, H, L, d)
            for path in paths
        )
        collector.saw_attention(
            module, (query, key, value), lambda q, k: scores(module, q, k, call)
        )
        seen.clear()  # of what working out the scores called again, too

    for path in paths:
        hook = module.get_submodule(path).register_forward_hook(saw(path))
        stack.callback(hook.remove)
    stack.callback(module.register_forward_hook(called, with_kwargs=True).remove)


def _position_bias(_module: Any, query: Tensor, key: Tensor, call: Mapping[str, Any]) -> Tensor:
    """``q k^T / sqrt(d)`` and a learned bias for each distance."""
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    bias = call.get("position_bias")  # (B, H, L, L)
    return scores if bias is None else scores + bias


def _disentangled(module: Any, query: Tensor, key: Tensor, call: Mapping[str, Any]) -> Tensor:
    """``q k^T`` and the products of content with position, over the root of d times their number.

    Reference: He et al. 2021, DeBERTa, equation 4.
    """
    kinds = 1 + sum(kind in module.pos_att_type for kind in ("c2p", "p2c"))
    flat_query, flat_key = query.flatten(0, 1), key.flatten(0, 1)  # (B*H, L, d)
    scores = flat_query @ flat_key.transpose(1, 2) / math.sqrt(query.shape[-1] * kinds)
    if module.relative_attention:
        scores = scores + module.disentangled_attention_bias(
            flat_query, flat_key, call.get("relative_pos"), call.get("rel_embeddings"), kinds
        )
    return scores.view(*query.shape[:2], *scores.shape[1:])


#: How models compute scores that do it by themselves: from the attention module, its queries and
#: keys (B, H, L, d) and what it was called with to scores before softmax and mask, (B, H, L, L).
SCORES: dict[str, Callable[[Any, Tensor, Tensor, Mapping[str, Any]], Tensor]] = {
    "position_bias": _position_bias,
    "disentangled": _disentangled,
}
