"""The families of encoders: where the parts of a model lie, and what they are called there.

Everything that needs a module of a model by its name takes the name from here, so that a family is
one entry. Those of :data:`FAMILIES` are teachers and students: they normalise behind each block
(post-norm) and compute attention through ``transformers``' attention interface; their scores are
``q k^T / sqrt(d)``. Those of :data:`TEACHERS` are built otherwise; their students are BERTs.

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

    An empty path means that there is no such part, or none that means what it does in the others.
    """

    name: str  # ``config.model_type``
    prefix: str  # what names of its classes in ``transformers`` begin with
    layers: str = "encoder.layer"  # the layers, in the encoder
    # the module that calls the attention function, in a layer, like all that follow
    attention: str = "attention.self"
    query: str = "attention.self.query"  # the Linear layer of the queries
    key: str = "attention.self.key"  # of the keys
    value: str = "attention.self.value"  # of the values
    out: str = "attention.output.dense"  # behind the heads
    out_norm: str = "attention.output.LayerNorm"  # the LayerNorm behind it
    up: str = "intermediate.dense"  # the first Linear layer of the feed-forward block
    activation: str = "intermediate.intermediate_act_fn"  # between the two
    down: str = "output.dense"  # the second one
    down_norm: str = "output.LayerNorm"  # the LayerNorm behind it
    # the attribute of the attention module with the number of its heads
    head_count: str = "num_attention_heads"
    ffn_size: str = "intermediate_size"  # the config's key for the number of feed-forward neurons
    act: str = "hidden_act"  # the config's key for the activation
    # the Linear layer in front of a sequence classifier's last one, in the whole model; its
    # outputs are a space of their own
    dense: str = "pooler.dense"
    # what stands behind it, a function of ``torch``, where the classifier's module has neither of
    # them
    dense_act: str | None = None
    classifier: str = "classifier"  # the last Linear layer of a sequence classifier
    # in the encoder, the Linear layer from embeddings to hidden states, where their widths differ
    projection: str = "embeddings_project"
    mlm: str | None = None  # the masked-language head, where it is one module
    nsp: str | None = None  # the head that tells whether a text follows another
    # what names of weights of its heads of pre-training begin with
    pretraining: tuple[str, ...] = ("lm_head.",)
    # the table of word embeddings, in the encoder, like all that follow
    words: str = "embeddings.word_embeddings"
    positions: str = "embeddings.position_embeddings"  # of positions
    types: str = "embeddings.token_type_embeddings"  # of types of tokens
    embedding_norm: str = "embeddings.LayerNorm"  # the LayerNorm over their sum
    # whether ``layers`` are fewer than the config's layers, which take turns in them
    shared: bool = False
    # modules that belong to a layer, where there are, by its number from 1 or -1 for the last:
    # their output is its hidden state
    behind: tuple[tuple[int, str], ...] = ()
    # where the model does not go through the attention interface, how it computes scores: a key
    # of :data:`distill.capture.collector.SCORES`
    scores: str | None = None


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
#: What a model that normalises in front of each block and gates its neurons has otherwise.
_OWN_LAYERS: dict[str, Any] = dict.fromkeys(
    ("query", "key", "value", "out", "out_norm", "up", "activation", "down", "down_norm"), ""
)
#: Families that teach all signals; their students are of the family :data:`STUDENT`.
TEACHERS: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "mpnet",
            "MPNet",
            scores="position_bias",
            attention="attention.attn",
            query="attention.attn.q",
            key="attention.attn.k",
            value="attention.attn.v",
            out="attention.attn.o",
            out_norm="attention.LayerNorm",
            **_OWN_DENSE,
        ),
        Family(
            "albert",
            "Albert",
            layers="encoder.albert_layer_groups",
            shared=True,
            attention="albert_layers.0.attention",
            query="albert_layers.0.attention.query",
            key="albert_layers.0.attention.key",
            value="albert_layers.0.attention.value",
            out="albert_layers.0.attention.dense",
            out_norm="albert_layers.0.attention.LayerNorm",
            up="albert_layers.0.ffn",
            activation="albert_layers.0.activation",
            down="albert_layers.0.ffn_output",
            down_norm="albert_layers.0.full_layer_layer_norm",
            dense="pooler",
            projection="encoder.embedding_hidden_mapping_in",
            embedding_norm="",  # over the narrow embeddings, in front of the projection
            pretraining=("predictions.", "sop_classifier."),
        ),
        Family(
            "deberta-v2",
            "DebertaV2",
            scores="disentangled",
            query="attention.self.query_proj",
            key="attention.self.key_proj",
            value="attention.self.value_proj",
            dense="",  # has another activation behind it than a BERT's
            behind=((1, "encoder.conv"),),
            pretraining=("cls.", "lm_predictions.", "mask_predictions.", "lm_head."),
        ),
        Family(
            "modernbert",
            "ModernBert",
            layers="layers",
            attention="attn",
            **_OWN_LAYERS,
            dense="",
            words="embeddings.tok_embeddings",
            positions="",
            types="",
            embedding_norm="embeddings.norm",
            behind=((-1, "final_norm"),),
            pretraining=("head.", "decoder."),
        ),
    )
}
#: The family of students whose teacher is of none of :data:`FAMILIES`.
STUDENT = "bert"
#: Values of ``config.model_type`` whose signals can be captured, pruned models among them.
MODEL_TYPES = (*FAMILIES, *(f"{PRUNED}{name}" for name in FAMILIES), *TEACHERS)

#: A model of another family: nothing is known of its parts.
_OTHER = Family("", "", layers="", attention="", dense="", classifier="", pretraining=())


def family_of(model_type: str) -> Family:
    """The family of a model by its ``config.model_type``, pruned or not.

    Of one that is none of :data:`MODEL_TYPES` all paths are empty.
    """
    return {**TEACHERS, **FAMILIES}.get(model_type.removeprefix(PRUNED), _OTHER)
