"""Taking signals out of a model while it runs, and running no more of it than they need.

Legend: B batch, L length, D hidden, H heads, N masked tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.capture.collector import Collector, Complete, heard, register, turns
from distill.capture.signals import Signals
from distill.system.errors import ModelError
from students.anatomy import Anatomy, anatomy, inputs_of
from students.heads import masked_head, read_logits


class Capture:
    """Runs a model on a batch and returns the signals asked for, and only those.

    While an attention signal is wanted the model's attention implementation is ours for the call
    and put back afterwards; otherwise it is left alone. Where logits are not wanted, the layers
    above the highest wanted signal, the pooler and the head do not run.

    Args:
        model: of a known family, stock or pruned, with or without a head.
        attention: layers whose scores are wanted, counted from 1.
        vectors: layers whose queries, keys and values are wanted, counted from 1.
        hidden: layers whose output is wanted, counted from 1.
        embedding: whether the embedding output is wanted.
        logits: whether the head's logits are wanted.
        mlm: whether the masked-language head's logits are wanted, at the tokens that
            ``mlm_labels`` of the batch masks.

    Raises:
        ModelError: a layer is not there, nothing is wanted, or the model is of another family.

    Example:
        >>> teacher = Capture(model, attention=[2, 4], hidden=[4], embedding=True, logits=False)
        >>> teacher(batch).attention[2].shape
        torch.Size([32, 12, 64, 64])
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        attention: Iterable[int] = (),
        vectors: Iterable[int] = (),
        hidden: Iterable[int] = (),
        embedding: bool = False,
        logits: bool = False,
        mlm: bool = False,
    ) -> None:
        self.model = model
        self.attention = frozenset(attention)
        self.vectors = frozenset(vectors)
        self.hidden = frozenset(hidden)
        self.embedding = embedding
        self.logits = logits
        self.mlm = _mlm_head(model) if mlm else None
        layers = sorted(self.attention | self.vectors | self.hidden)
        depth = anatomy(model).depth if layers else 0
        for layer in layers:
            if not 1 <= layer <= depth:
                raise ModelError(
                    f"layer {layer} of a {type(model).__name__} is wanted; "
                    f"its layers are 1 to {depth}"
                )
        self._pending = sum(map(len, (self.attention, self.vectors, self.hidden)))
        self._pending += int(embedding) + int(mlm)
        if not self._pending and not logits:
            raise ModelError("nothing to capture: no embedding, layer or logits is wanted")
        if self._ours:
            register()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process, where transformers does not know our attention function yet."""
        self.__dict__.update(state)
        if self._ours:
            register()

    @property
    def _ours(self) -> bool:
        return bool(self.attention or self.vectors)

    def __call__(self, batch: Mapping[str, Tensor]) -> Signals:
        """The signals of one batch of tokens; keys that are no model inputs are left out.

        Args:
            batch: ``input_ids``, ``attention_mask`` and, where there are, ``token_type_ids``,
                each (B, L).

        Raises:
            ModelError: the batch lacks ``mlm_labels`` that are needed, a wanted signal did not
                arise (a layer without heads, a model without a
                head), or gradient checkpointing is on while scores are wanted.
        """
        if self.mlm is not None and "mlm_labels" not in batch:
            raise ModelError("objective 'mlm': the batch has no mlm_labels; give masked text")
        inputs = inputs_of(self.model, batch)
        if not self._pending:  # any model has logits, whatever its family
            return self._checked(Signals(), self.model(**inputs), batch.get("attention_mask"))
        parts = anatomy(self.model)
        if self._ours and self.model.training and _recomputes(self.model):
            # It would run a layer again in the backward pass, when SDPA is back in its place.
            raise ModelError(
                "attention scores cannot be captured under gradient checkpointing, nor queries, "
                "keys and values; switch it off (model.gradient_checkpointing_disable()) or leave "
                "the attention and relations objectives out"
            )
        collector = Collector(
            parts.attentions,
            attention=self.attention,
            vectors=self.vectors,
            pending=self._pending,
            stop=not self.logits,
        )
        masked = batch["mlm_labels"] != -100 if self.mlm is not None else None  # (B, L)
        with self._listening(collector, parts, masked):
            try:
                output = self.model(**inputs)
            except Complete:
                return collector.signals
        return self._checked(collector.signals, output, batch.get("attention_mask"))

    @contextmanager
    def _listening(
        self, collector: Collector, parts: Anatomy, masked: Tensor | None
    ) -> Iterator[None]:
        """Hooks and, where scores are wanted, our attention function: for one forward pass."""
        with ExitStack() as stack:
            handles = []
            if self.embedding:
                handles.append(parts.embedded.register_forward_hook(collector.saw("embedding")))
            for module, layers in turns(parts.outputs).items() if self.hidden else ():
                saw = collector.saw_hidden(layers, self.hidden)
                handles.append(module.register_forward_hook(saw))
            if self.mlm is not None:
                # The head sees the masked tokens alone, (N, D) of (B, L, D): over a vocabulary it
                # is the costliest layer.
                handles.append(
                    self.mlm.register_forward_pre_hook(lambda _, args: (args[0][masked],))
                )
                handles.append(self.mlm.register_forward_hook(collector.saw("mlm")))
            for handle in handles:
                stack.callback(handle.remove)
            if self._ours:
                stack.enter_context(heard(parts, collector))
            yield

    def _checked(self, signals: Signals, output: Any, mask: Tensor | None) -> Signals:
        missing = sorted(self.attention - signals.attention.keys())
        missing = missing or sorted(self.vectors - signals.queries.keys())
        if missing:
            raise ModelError(
                f"layer {missing[0]} gave no attention scores (all its heads are pruned), nor "
                "queries, keys and values; leave it out of the layer map"
            )
        if self.logits:
            signals.logits = read_logits(self.model, output, mask)
        return signals


def _recomputes(model: nn.Module) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def _mlm_head(model: nn.Module) -> nn.Module:
    head = masked_head(model)
    if head is None:
        raise ModelError(
            f"objective 'mlm' needs a masked-language head, which a {type(model).__name__} does "
            "not have; give a BertForMaskedLM or a BertForPreTraining"
        )
    return head
