"""What stands on an encoder, and how its outputs are read: one name and one tensor for every head.

Legend: B batch, L length, C outputs, D hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import (
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    PreTrainedConfig,
    PreTrainedModel,
)

from distill.errors import ModelError

#: What may stand on a student's encoder: the heads of tasks, nothing, or those of pre-training.
HEADS: dict[str, type[PreTrainedModel]] = {
    "classification": BertForSequenceClassification,
    "tokens": BertForTokenClassification,
    "spans": BertForQuestionAnswering,
    "vectors": BertModel,
    "none": BertModel,
    "mlm": BertForMaskedLM,
    "mlm+nsp": BertForPreTraining,
}
#: Heads that give an output for each token.
TOKEN_LEVEL = ("tokens", "spans")
#: Names of a head's own parameters in a model of ``transformers``.
PARAMETERS = {"classification": "classifier", "tokens": "classifier", "spans": "qa_outputs"}
#: Ways to make one vector of a row: the key that marks an encoder as a sentence encoder.
POOLING = "distill_pooling"
_SUFFIXES = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tokens",
    "ForQuestionAnswering": "spans",
}


def head_of(model: PreTrainedModel | PreTrainedConfig) -> str:
    """The name of the head that a model has, or that a config says its weights have.

    Returns:
        A key of :data:`HEADS`; ``none`` for what is none of them.
    """
    config = model.config if isinstance(model, PreTrainedModel) else model
    name = (
        type(model).__name__
        if isinstance(model, PreTrainedModel)
        else next(iter(config.architectures or ()), "")
    )
    for suffix, head in _SUFFIXES.items():
        if name.endswith(suffix):
            return head
    return "vectors" if getattr(config, POOLING, None) else "none"


def is_token_level(model: PreTrainedModel) -> bool:
    """Whether the model's outputs are (B, L, C) and not (B, C)."""
    return head_of(model) in TOKEN_LEVEL


def outputs_of(model: PreTrainedModel) -> int:
    """C, the size of the last dimension of :func:`logits_of`."""
    config = model.config
    return int(config.hidden_size if head_of(model) == "vectors" else config.num_labels or 0)


def logits_of(model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """What a model's head says of a batch, whatever the head.

    Args:
        model: a model with a head, or a sentence encoder.
        inputs: ``input_ids``, ``attention_mask`` and ``token_type_ids``, each (B, L).

    Returns:
        - a classifier's logits, (B, C);
        - a token classifier's, (B, L, C);
        - of a model that marks spans the logits of start and end, (B, L, 2);
        - of a sentence encoder the vectors, (B, D).

    Raises:
        ModelError: the model has no head.
    """
    return read_logits(model, model(**inputs), inputs.get("attention_mask"))


def read_logits(model: nn.Module, output: Any, mask: Tensor | None) -> Tensor:
    """:func:`logits_of` where the forward pass is done already.

    Args:
        model: whose output it is.
        output: what its forward pass returned.
        mask: (B, L), 1 for a real token and 0 for padding; left out, all are real.

    Raises:
        ModelError: the model has no head.
    """
    logits = getattr(output, "logits", None)
    if logits is not None:
        return cast(Tensor, logits)
    if getattr(output, "start_logits", None) is not None:
        return torch.stack([output.start_logits, output.end_logits], dim=-1)  # (B, L, 2)
    config = getattr(model, "config", None)
    pooling = getattr(config, POOLING, None)
    if pooling is None:
        raise ModelError(
            f"logits are wanted of a {type(model).__name__}, which has no head; "
            "give a BertForSequenceClassification"
        )
    hidden: Tensor = output.last_hidden_state  # (B, L, D)
    return pool(hidden, hidden.new_ones(hidden.shape[:2]) if mask is None else mask, pooling)


def pool(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """One vector of a row's hidden states.

    Args:
        hidden: (B, L, D).
        mask: (B, L).
        pooling: ``mean`` over real tokens, or ``cls``, the first token's.

    Returns:
        (B, D).

    Reference:
        Reimers and Gurevych 2019 (Sentence-BERT), section 3.
    """
    if pooling == "cls":
        return hidden[:, 0]
    real = mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
    return (hidden * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
