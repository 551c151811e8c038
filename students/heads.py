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
from students.pooling import DENSE, POOLING, sentence_vectors

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
#: Where older versions of sentence-transformers name the activation of a cross-encoder.
_OLD_ACTIVATION = "sbert_ce_default_activation_function"
_ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "none"}
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
    return head_named(name) or ("vectors" if getattr(config, POOLING, None) else "none")


def head_named(architecture: str) -> str | None:
    """The head that a class of ``transformers`` has by its name; ``None`` for none of ours."""
    found = (head for suffix, head in _SUFFIXES.items() if architecture.endswith(suffix))
    return next(found, None)


def activation_of(config: PreTrainedConfig) -> str:
    """What is done to the one output of a model that scores: ``sigmoid`` or ``none``.

    A cross-encoder of sentence-transformers names it in its config. One that says nothing has a
    sigmoid there and in the pipelines of transformers; a regression by its ``problem_type`` has
    none.

    Raises:
        ModelError: the config names something else.
    """
    ours = getattr(config, "sentence_transformers", None) or {}
    said = ours.get("activation_fn") or getattr(config, _OLD_ACTIVATION, None)
    if said is None:
        return "none" if config.problem_type == "regression" else "sigmoid"
    name = str(said).rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise ModelError(
            f"its config names the activation '{said}' for its score; known are "
            f"{', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name]


def is_token_level(model: PreTrainedModel) -> bool:
    """Whether the model's outputs are (B, L, C) and not (B, C)."""
    return head_of(model) in TOKEN_LEVEL


def outputs_of(model: PreTrainedModel) -> int:
    """C, the size of the last dimension of :func:`logits_of`."""
    config = model.config
    if head_of(model) != "vectors":
        return int(config.num_labels or 0)
    if layers := getattr(config, DENSE, None):
        return int(layers[-1]["out_features"])
    return int(config.hidden_size) * len(str(getattr(config, POOLING)).split("+"))


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
    if getattr(getattr(model, "config", None), POOLING, None) is None:
        raise ModelError(
            f"logits are wanted of a {type(model).__name__}, which has no head; "
            "give a BertForSequenceClassification"
        )
    hidden: Tensor = output.last_hidden_state  # (B, L, D)
    real = hidden.new_ones(hidden.shape[:2]) if mask is None else mask  # (B, L)
    return sentence_vectors(model, hidden, real)
