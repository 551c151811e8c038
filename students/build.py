"""Students: a smaller BERT with the teacher's vocabulary and labels, and first weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoModel, BertConfig, BertModel, PreTrainedConfig, PreTrainedModel

from distill.recipe.model_shapes import student_positions
from distill.recipe.run_models import model_of_run
from distill.recipe.sizes import Size
from distill.system.errors import ModelError
from students.family import FAMILIES, PRUNED, TEACHERS, family_of
from students.folder import check_folder, loading, read_config
from students.from_teacher import choose_layers, copy_weights, copy_words, put_back
from students.heads import class_of, masked_head
from students.pooling import DENSE, POOLING, projection_to
from students.weights import check_loaded

#: Ways to begin that are no folder.
INITS = ("teacher-layers", "random")


#: What a config says of the tokens that are read.
_VOCABULARY = ("vocab_size", "pad_token_id", "type_vocab_size", "max_position_embeddings")


def build_student(
    teacher: PreTrainedModel,
    size: Size,
    *,
    init: str = "teacher-layers",
    layers: Literal["uniform", "first", "last"] | str | Sequence[int] = "uniform",
    seed: int = 0,
    head: str = "classification",
    own_vocabulary: bool = False,
    vectors: int | None = None,
) -> PreTrainedModel:
    """A model of ``size`` with the teacher's vocabulary, labels and problem type.

    It is of the teacher's family, or a BERT where that family only teaches; of a teacher that is of
    no known family nothing but the word embeddings is copied, where they are wide enough.

    ``teacher-layers`` copies embeddings, chosen layers, pooler and classifier. Where the student
    is narrower, the hidden dimensions that vary most are kept
    (:func:`~students.from_teacher.kept_dimensions`), the leading feed-forward neurons, and the
    leading dimensions inside each head (312 of 384 with 12 heads keeps 26 of each head's 32);
    LayerNorm gains are not rescaled. Where head counts do not allow that, the leading rows of
    query, key and value are kept. What is not copied is drawn from ``seed``, whatever was drawn
    before.

    Args:
        teacher: an unpruned model; it is not changed.
        size: the student's size.
        init: ``teacher-layers``, ``random``, or the folder of a model, or of a run that made one,
            whose encoder is taken.
        layers: which teacher layers are copied: ``uniform`` (evenly spread up to the top),
            ``first``, ``last``, or a list counted from 1.
        seed: draws what is not copied.
        head: a key of :data:`~students.heads.HEADS`: what stands on the encoder.
        own_vocabulary: whether the folder's vocabulary is taken instead of the teacher's.
        vectors: of a sentence encoder the width that a Linear layer brings its vectors to, which
            begins as the teacher's or as the identity; left out, they are as wide as the student.

    Raises:
        ModelError: the teacher is pruned, the student does not fit into it, or the folder holds
            another size.

    Example:
        >>> build_student(teacher, resolve_size("3x384"), init="teacher-layers", seed=42)
    """
    kind = teacher.config.model_type
    if kind.startswith(PRUNED):
        raise ModelError(
            f"a student is built from one of {', '.join((*FAMILIES, *TEACHERS))}, not from a "
            f"'{kind}'"
        )
    if size.hidden % size.heads:
        raise ModelError(f"size '{size.name}': {size.heads} heads do not divide {size.hidden}")
    config = (_student_config if kind in FAMILIES else _bert_config)(teacher, size)
    if own_vocabulary:
        found = read_config(check_folder(model_of_run(Path(init))))
        config.update({name: found[name] for name in _VOCABULARY if name in found})
    if vectors is not None and head == "vectors":
        setattr(config, DENSE, projection_to(vectors, size.hidden))
    student = _drawn(config, head, seed)
    if init == "teacher-layers":
        _copy_from(teacher, student, layers)
    elif init != "random":
        load_encoder_into(student, Path(init), size)
    return student


def _drawn(config: PreTrainedConfig, head: str, seed: int) -> PreTrainedModel:
    """A model with first weights; a layer on its vectors begins as the identity."""
    # The constructor draws all weights; a generator of its own leaves the caller's alone.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = class_of(config, head)(config)
    for layer in getattr(student, "sentence_layers", ()):
        nn.init.eye_(layer[0].weight)
    config.architectures = [type(student).__name__]
    return student


def _copy_from(
    teacher: PreTrainedModel, student: PreTrainedModel, layers: str | Sequence[int]
) -> None:
    """Give a student the teacher's layers, or its words where it is of no known family."""
    kind = teacher.config.model_type
    if kind not in FAMILIES and kind not in TEACHERS:
        copy_words(teacher, student)
        return
    ours, depth = student.config.num_hidden_layers, teacher.config.num_hidden_layers
    chosen = choose_layers(layers, ours, depth) if family_of(kind).up else None
    for layer in getattr(student, "sentence_layers", ()):
        put_back(layer[0].weight, teacher)
    copy_weights(teacher, student, chosen)


def load_encoder_into(student: PreTrainedModel, folder: Path, size: Size) -> None:
    """Take the encoder's weights from a folder; the head stays as drawn.

    Args:
        student: whose encoder it becomes.
        folder: the folder of a model, or of a run that made one.
        size: the student's size, which the folder's model must have.

    Raises:
        ModelError: the folder holds a model of another family, of another size, or one without all
            weights.
    """
    folder = check_folder(model_of_run(folder))
    found = read_config(folder)
    config = student.config
    if found.get("model_type") != config.model_type:
        raise ModelError(
            f"student.init: {folder} holds a '{found.get('model_type')}'; it must be a "
            f"'{config.model_type}', as students of this teacher are"
        )
    names = ("num_hidden_layers", "hidden_size", "num_attention_heads")
    keys = {name: config.attribute_map.get(name, name) for name in names}
    wanted = [*names, family_of(config.model_type).ffn_size, "vocab_size"]
    differs = [
        f"{name} {found.get(keys.get(name, name))} (wanted {getattr(config, name)})"
        for name in wanted
        if found.get(keys.get(name, name)) != getattr(config, name)
    ]
    if differs:
        raise ModelError(
            f"student.init: {folder} does not hold a student of size '{size.name}': "
            f"{', '.join(differs)}; change student.size or the folder"
        )
    with loading(folder), torch.random.fork_rng(devices=[]):
        encoder, info = AutoModel.from_pretrained(
            folder, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    try:
        check_loaded(folder, encoder, info, optional=("pooler.",), keeps_head=False)
    except ModelError as error:
        raise ModelError(f"student.init: {error}") from error
    weights = {n: w for n, w in encoder.state_dict().items() if n not in info["missing_keys"]}
    student.base_model.load_state_dict(weights, strict=False)
    if masked_head(student) is not None or getattr(config, DENSE, None):
        _load_heads(student, folder)


def _load_heads(student: PreTrainedModel, folder: Path) -> None:
    """Take the heads of pre-training, or a projection of vectors, where the folder has them."""
    encoder = f"{student.base_model_prefix}."
    own = {name: w for name, w in student.state_dict().items() if not name.startswith(encoder)}
    for file in sorted(folder.glob("*.safetensors")):
        with loading(folder), safe_open(file, framework="pt") as content:
            for name in own.keys() & set(content.keys()):
                weight = content.get_tensor(name)
                if weight.shape == own[name].shape:
                    own[name].copy_(weight)


def _bert_config(teacher: PreTrainedModel, size: Size) -> PreTrainedConfig:
    """The config of a BERT that reads a teacher's tokens."""
    theirs = teacher.config.to_dict()
    names = ("id2label", "label2id", "problem_type", POOLING, "pad_token_id", "hidden_act")
    return BertConfig.from_dict(
        {name: theirs[name] for name in names if theirs.get(name) is not None}
        | {
            "vocab_size": teacher.get_input_embeddings().num_embeddings,
            "type_vocab_size": max(1, int(theirs.get("type_vocab_size") or 0)),
            "max_position_embeddings": student_positions(theirs),
            "num_hidden_layers": size.layers,
            "hidden_size": size.hidden,
            "num_attention_heads": size.heads,
            "intermediate_size": size.ffn,
        }
    )


def _student_config(teacher: PreTrainedModel, size: Size) -> PreTrainedConfig:
    # What the family's config knows, and no more: where the teacher came from, code that came with
    # it and switches of old versions say nothing of the student.
    kind: type[PreTrainedConfig] = type(teacher.config)
    known = kind().to_dict().keys() | {"id2label", "label2id", "problem_type", POOLING}
    known -= {"_name_or_path", "architectures", "dtype", "transformers_version"}
    inherited = {name: value for name, value in teacher.config.to_dict().items() if name in known}
    config = kind.from_dict(inherited)
    sizes = {
        "num_hidden_layers": size.layers,
        "hidden_size": size.hidden,
        "num_attention_heads": size.heads,
        FAMILIES[kind.model_type].ffn_size: size.ffn,
    }
    if getattr(teacher.config, "embedding_size", None) == teacher.config.hidden_size:
        sizes["embedding_size"] = size.hidden
    for name, value in sizes.items():
        setattr(config, name, value)
    return config


def blank_encoder(size: Size, *, tokens: int, pad_id: int, seed: int) -> PreTrainedModel:
    """A BERT encoder that has learned nothing.

    Args:
        size: its shape.
        tokens: rows of its word embeddings.
        pad_id: the padding token's id.
        seed: draws the weights, whatever was drawn before.
    """
    config = BertConfig(
        vocab_size=tokens,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        intermediate_size=size.ffn,
        pad_token_id=pad_id,
        architectures=["BertModel"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = BertModel(config)
    model.eval()
    return model
