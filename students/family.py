"""The families of encoders: where the parts of a model lie, and what they are called there.

Everything that needs a module of a model by its name takes the name from here, so that a family is
one entry of :data:`FAMILIES`. All of them normalise behind each block (post-norm) and compute
attention through ``transformers``' attention interface; their scores are ``q k^T / sqrt(d)``.

The file needs nothing but Python: it is copied into saved folders beside ``pruned.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: What ``config.model_type`` of a pruned model begins with, in front of its family's name.
PRUNED = "pruned_"


@dataclass(frozen=True)
class Family:
    """Names of a family's modules and settings.

    Args:
        name: ``config.model_type``.
        prefix: what names of its classes in ``transformers`` begin with.
        layers: the layers, in the encoder.
        attention: the module that calls the attention function, in a layer, like all that follow.
        query: the Linear layer of the queries.
        key: of the keys.
        value: of the values.
        out: behind the heads.
        out_norm: the LayerNorm behind it.
        up: the first Linear layer of the feed-forward block.
        activation: between the two.
        down: the second one.
        down_norm: the LayerNorm behind it.
        head_count: the attribute of the attention module with the number of its heads.
        ffn_size: the config's key for the number of feed-forward neurons.
        act: the config's key for the activation.
        dense: the Linear layer in front of a sequence classifier's last one, in the whole model;
            its outputs are a space of their own.
        dense_act: what stands behind it, a function of ``torch``, where the classifier's module
            has neither of them.
        classifier: the last Linear layer of a sequence classifier.
        projection: in the encoder, the Linear layer from embeddings to hidden states, where their
            widths differ.
        mlm: the masked-language head, where it is one module.
        nsp: the head that tells whether a text follows another.
        pretraining: what names of weights of its heads of pre-training begin with.
    """

    name: str
    prefix: str
    layers: str = "encoder.layer"
    attention: str = "attention.self"
    query: str = "attention.self.query"
    key: str = "attention.self.key"
    value: str = "attention.self.value"
    out: str = "attention.output.dense"
    out_norm: str = "attention.output.LayerNorm"
    up: str = "intermediate.dense"
    activation: str = "intermediate.intermediate_act_fn"
    down: str = "output.dense"
    down_norm: str = "output.LayerNorm"
    head_count: str = "num_attention_heads"
    ffn_size: str = "intermediate_size"
    act: str = "hidden_act"
    dense: str = "pooler.dense"
    dense_act: str | None = None
    classifier: str = "classifier"
    projection: str = "embeddings_project"
    mlm: str | None = None
    nsp: str | None = None
    pretraining: tuple[str, ...] = ("lm_head.",)


#: Sequence classifiers that have a dense layer in the head and no pooler.
_OWN_DENSE: dict[str, Any] = {"dense": "classifier.dense", "classifier": "classifier.out_proj"}

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "bert",
            "Bert",
            mlm="cls.predictions",
            nsp="cls.seq_relationship",
            pretraining=("cls.",),
        ),
        Family("roberta", "Roberta", mlm="lm_head", **_OWN_DENSE),
        Family("xlm-roberta", "XLMRoberta", mlm="lm_head", **_OWN_DENSE),
        Family("camembert", "Camembert", mlm="lm_head", **_OWN_DENSE),
        Family(
            "electra",
            "Electra",
            pretraining=("generator_", "discriminator_predictions."),
            **_OWN_DENSE,
        ),
        Family(
            "distilbert",
            "DistilBert",
            layers="transformer.layer",
            attention="attention",
            query="attention.q_lin",
            key="attention.k_lin",
            value="attention.v_lin",
            out="attention.out_lin",
            out_norm="sa_layer_norm",
            up="ffn.lin1",
            activation="ffn.activation",
            down="ffn.lin2",
            down_norm="output_layer_norm",
            head_count="n_heads",
            ffn_size="hidden_dim",
            act="activation",
            dense="pre_classifier",
            dense_act="relu",
            pretraining=("vocab_transform.", "vocab_layer_norm.", "vocab_projector."),
        ),
    )
}
#: Values of ``config.model_type`` that work, pruned models among them.
MODEL_TYPES = (*FAMILIES, *(f"{PRUNED}{name}" for name in FAMILIES))

#: A model of another family: nothing is known of its parts.
_OTHER = Family("", "", layers="", attention="", dense="", classifier="", pretraining=())


def family_of(model_type: str) -> Family:
    """The family of a model by its ``config.model_type``, pruned or not.

    Of one that is none of :data:`MODEL_TYPES` all paths are empty.
    """
    return FAMILIES.get(model_type.removeprefix(PRUNED), _OTHER)
