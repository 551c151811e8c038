"""What stands on an encoder, and how its outputs are read: one name and one tensor for every head.

Legend: B batch, L length, C outputs, D hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from distill.recipe.model_shapes import usable_positions
from distill.system.errors import ModelError
from students.anatomy import anatomy, inner, inputs_of
from students.family import MODEL_TYPES, PRUNED, family_of
from students.pooling import DENSE, POOLING, sentence_class, sentence_vectors
from students.pruned import AUTO, pruned_class

#: What may stand on an encoder: the heads of tasks, nothing, or those of pre-training; and how the
#: names of the classes of ``transformers`` end.
HEADS = {
    "classification": "ForSequenceClassification",
    "tokens": "ForTokenClassification",
    "spans": "ForQuestionAnswering",
    "vectors": "Model",
    "none": "Model",
    "mlm": "ForMaskedLM",
    "mlm+nsp": "ForPreTraining",
}
#: Heads that give an output for each token.
TOKEN_LEVEL = ("tokens", "spans")
#: Names of a head's own parameters in a model of ``transformers``.
PARAMETERS = {"classification": "classifier", "tokens": "classifier", "spans": "qa_outputs"}
#: Where older versions of sentence-transformers name the activation of a cross-encoder.
_OLD_ACTIVATION = "sbert_ce_default_activation_function"
_ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "none"}
_SUFFIXES = {HEADS[head]: head for head in PARAMETERS}


def class_of(config: PreTrainedConfig, head: str) -> type[PreTrainedModel]:
    """The class of a model with a head, stock or pruned as its config is.

    Args:
        config: the model's; of a sentence encoder it may name layers behind the pooling.
        head: a key of :data:`HEADS`.

    Raises:
        ModelError: the family has no such class; that of a pruned model has the heads of tasks.
    """
    kind, end = config.model_type, HEADS[head]
    family = family_of(kind)
    found: type[PreTrainedModel] | None
    if kind.startswith(PRUNED):
        if end not in AUTO.values():
            raise ModelError(f"a {kind} has no class for '{head}'")
        found = pruned_class(family.name, end)
    else:
        found = getattr(transformers, f"{family.prefix}{end}", None)
    lacks = {"mlm": family.mlm is None, "mlm+nsp": family.nsp is None}
    if found is None or lacks.get(head, False):
        raise ModelError(f"the family '{family.name}' has no head '{head}'")
    if head == "vectors" and getattr(config, DENSE, None):
        encoder: type = found  # mypy takes the classes of transformers for not hashable
        return cast(type[PreTrainedModel], sentence_class(encoder))
    return found


def last_linear(model: PreTrainedModel) -> nn.Linear:
    """The layer whose outputs are a model's logits.

    Raises:
        ModelError: the model is of no known family and has no such layer.
    """
    head, outputs = head_of(model), model.config.num_labels
    if model.config.model_type not in MODEL_TYPES:
        linear = [one for one in model.modules() if isinstance(one, nn.Linear)]
        if not linear or linear[-1].out_features != outputs:
            raise ModelError(
                f"a {type(model).__name__} ends in no Linear layer of {outputs} labels"
            )
        return linear[-1]
    path = anatomy(model).family.classifier if head == "classification" else PARAMETERS[head]
    return cast(nn.Linear, model.get_submodule(path))


def classify(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """A sequence classifier's logits (B, C) from last hidden states, of which it reads the first.

    Args:
        model: the classifier.
        hidden: (B, L, D), or those of the first token alone, (B, 1, D).
    """
    classifier: Any = model.get_submodule("classifier")
    family = anatomy(model).family
    if family.dense_act is not None:
        dense = model.get_submodule(family.dense)(hidden[:, 0])  # (B, D)
        return cast(Tensor, classifier(getattr(torch, family.dense_act)(dense)))
    pooler = getattr(model.base_model, "pooler", None)
    return cast(Tensor, classifier(hidden if pooler is None else pooler(hidden)))


def positions_of(model: PreTrainedModel) -> int:
    """How many tokens a model reads at most."""
    return usable_positions(model.config.to_dict())


def masked_head(model: nn.Module) -> nn.Module | None:
    """The masked-language head: from hidden states (..., D) to logits (..., V)."""
    return inner(model, anatomy(model).family.mlm)


def relation_head(model: nn.Module) -> nn.Module | None:
    """The head that tells whether a text follows another: from the pooler (B, D) to (B, 2)."""
    return inner(model, anatomy(model).family.nsp)


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
        inputs: a batch; what the model reads of it is given to it, each (B, L).

    Returns:
        - a classifier's logits, (B, C);
        - a token classifier's, (B, L, C);
        - of a model that marks spans the logits of start and end, (B, L, 2);
        - of a sentence encoder the vectors, (B, D).

    Raises:
        ModelError: the model has no head.
    """
    return read_logits(model, model(**inputs_of(model, inputs)), inputs.get("attention_mask"))


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
