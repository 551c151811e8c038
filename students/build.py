"""Students: a smaller BERT with the teacher's vocabulary and labels, and first weights.

Legend: D hidden width, H heads, d = D / H head width, F feed-forward neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoModel, BertConfig, BertModel, PreTrainedConfig, PreTrainedModel

from distill.errors import ModelError
from distill.recipe.run_models import model_of_run
from students.folder import check_folder, loading, read_config
from students.heads import HEADS, POOLING
from students.sizes import Size

#: Ways to begin that are no folder.
INITS = ("teacher-layers", "random")
#: Which rows and columns of the weights below each module are cut, by the end of its name.
_AXES: dict[str, tuple[str, ...]] = {
    "word_embeddings": ("all", "hidden"),
    "position_embeddings": ("all", "hidden"),
    "token_type_embeddings": ("all", "hidden"),
    "LayerNorm": ("hidden",),
    "attention.self.query": ("heads", "hidden"),
    "attention.self.key": ("heads", "hidden"),
    "attention.self.value": ("heads", "hidden"),
    "attention.output.dense": ("hidden", "heads"),
    "intermediate.dense": ("ffn", "hidden"),
    "output.dense": ("hidden", "ffn"),
    "pooler.dense": ("hidden", "hidden"),
    "classifier": ("all", "hidden"),
    "qa_outputs": ("all", "hidden"),
}


#: What a config says of the tokens that are read.
_VOCABULARY = ("vocab_size", "pad_token_id", "type_vocab_size", "max_position_embeddings")


def axes_of(module: str) -> tuple[str, ...]:
    """What the rows and columns of a module's weight are: ``hidden``, ``heads``, ``ffn``, ``all``.

    A bias, and the gain of a LayerNorm, has the rows only.

    Args:
        module: its name in a BERT.
    """
    # The longest name wins: 'attention.output.dense' ends in 'output.dense' too.
    return _AXES[max((end for end in _AXES if module.endswith(end)), key=len)]


@dataclass(frozen=True)
class _Cut:
    """Which of the teacher's dimensions the student keeps."""

    hidden: Tensor
    heads: Tensor
    ffn: Tensor

    def of(self, weight: Tensor, module: str) -> Tensor:
        """The student's part of a teacher's tensor that lies below ``module``."""
        for dimension, axis in enumerate(axes_of(module)[: weight.dim()]):
            if axis != "all":
                weight = weight.index_select(dimension, getattr(self, axis))
        return weight


def build_student(
    teacher: PreTrainedModel,
    size: Size,
    *,
    init: str = "teacher-layers",
    layers: Literal["uniform", "first", "last"] | str | Sequence[int] = "uniform",
    seed: int = 0,
    head: str = "classification",
    own_vocabulary: bool = False,
) -> PreTrainedModel:
    """A model of ``size`` with the teacher's vocabulary, labels and problem type.

    ``teacher-layers`` copies embeddings, chosen layers, pooler and classifier. Where the student
    is narrower, leading dimensions are kept: of the hidden width, of the feed-forward neurons,
    and inside each head (312 of 384 with 12 heads keeps 26 of each head's 32); LayerNorm gains
    are not rescaled. Where head counts do not allow that, the leading rows of query, key and
    value are kept. What is not copied is drawn from ``seed``, whatever was drawn before.

    Args:
        teacher: a BERT; it is not changed.
        size: the student's size.
        init: ``teacher-layers``, ``random``, or the folder of a model, or of a run that made one,
            whose encoder is taken.
        layers: which teacher layers are copied: ``uniform`` (evenly spread up to the top),
            ``first``, ``last``, or a list counted from 1.
        seed: draws what is not copied.
        head: a key of :data:`~students.heads.HEADS`: what stands on the encoder.
        own_vocabulary: whether the folder's vocabulary is taken instead of the teacher's.

    Raises:
        ModelError: the teacher is no plain BERT, the student does not fit into it, or the folder
            holds another size.

    Example:
        >>> build_student(teacher, resolve_size("3x384"), init="teacher-layers", seed=42)
    """
    if teacher.config.model_type != "bert":
        raise ModelError(
            f"a student is built from a BERT, not from a '{teacher.config.model_type}'"
        )
    config = _student_config(teacher, size)
    if own_vocabulary:
        found = read_config(check_folder(model_of_run(Path(init))))
        config.update({name: found[name] for name in _VOCABULARY if name in found})
    # The constructor draws all weights; a generator of its own leaves the caller's alone.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = HEADS[head](config)
    config.architectures = [type(student).__name__]
    if init == "random":
        return student
    if init == "teacher-layers":
        chosen = choose_layers(layers, size.layers, teacher.config.num_hidden_layers)
        _copy(teacher, student, chosen)
        return student
    _load_encoder(student, Path(init), size)
    return student


def choose_layers(
    layers: str | Sequence[int], student_depth: int, teacher_depth: int
) -> tuple[int, ...]:
    """The teacher layers, counted from 1, that a student's layers are copied from.

    ``uniform`` takes layer ``ceil(i * N / M)`` for i = 1 .. M: every k-th up to the top where N
    is a multiple of M, and as evenly as it goes elsewhere.

    Raises:
        ModelError: the student is deeper than the teacher, the kind is unknown, or the list has
            another length or names a layer that is not there.

    Example:
        >>> choose_layers("uniform", 3, 6)
        (2, 4, 6)
    """
    if not isinstance(layers, str):
        chosen = tuple(layers)
        if len(chosen) != student_depth:
            raise ModelError(
                f"student.init_layers names {len(chosen)} teacher layers for a student of "
                f"{student_depth}; name one for each"
            )
        wrong = [layer for layer in chosen if not 1 <= layer <= teacher_depth]
        if wrong:
            raise ModelError(
                f"student.init_layers: the teacher has no layer {wrong[0]}; "
                f"its layers are 1 to {teacher_depth}"
            )
        return chosen
    if student_depth > teacher_depth:
        raise ModelError(
            f"student.init: a student of {student_depth} layers cannot be copied from a teacher "
            f"of {teacher_depth}; use at most {teacher_depth} layers, a list, or init: random"
        )
    rows = range(1, student_depth + 1)
    if layers == "uniform":
        return tuple(-(-i * teacher_depth // student_depth) for i in rows)
    if layers == "first":
        return tuple(rows)
    if layers == "last":
        return tuple(teacher_depth - student_depth + i for i in rows)
    raise ModelError(
        f"student.init_layers: unknown kind '{layers}'; known: uniform, first, last, or a list"
    )


def _student_config(teacher: PreTrainedModel, size: Size) -> BertConfig:
    if size.hidden % size.heads:
        raise ModelError(f"size '{size.name}': {size.heads} heads do not divide {size.hidden}")
    # What BERT's config knows, and no more: where the teacher came from, code that came with it
    # and switches of old versions say nothing of the student.
    known = BertConfig().to_dict().keys() | {"id2label", "label2id", "problem_type", POOLING}
    known -= {"_name_or_path", "architectures", "dtype", "transformers_version"}
    inherited = {name: value for name, value in teacher.config.to_dict().items() if name in known}
    inherited |= {
        "num_hidden_layers": size.layers,
        "hidden_size": size.hidden,
        "num_attention_heads": size.heads,
        "intermediate_size": size.ffn,
    }
    return BertConfig.from_dict(inherited)


def _copy(teacher: PreTrainedModel, student: PreTrainedModel, chosen: Sequence[int]) -> None:
    """Copy what the teacher has of the student's parameters, cut to the student's width."""
    cut = _cut(teacher.config, student.config)
    source = {
        name.removeprefix(f"{teacher.base_model_prefix}."): parameter
        for name, parameter in teacher.named_parameters()
    }
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            place = _teacher_name(name.removeprefix(f"{student.base_model_prefix}."), chosen)
            # A bare encoder has no classifier, and may have no pooler: those stay as drawn.
            if place in source:
                module = place.rpartition(".")[0]
                parameter.copy_(cut.of(source[place].detach(), module))


def _teacher_name(name: str, chosen: Sequence[int]) -> str:
    """``encoder.layer.0.x`` of the student as the teacher names what it is copied from."""
    parts = name.split(".")
    if parts[:2] == ["encoder", "layer"]:
        parts[2] = str(chosen[int(parts[2])] - 1)
    return ".".join(parts)


def _cut(teacher: PreTrainedConfig, student: PreTrainedConfig) -> _Cut:
    for what, ours, theirs in (
        ("wide", student.hidden_size, teacher.hidden_size),
        ("wide in its feed-forward part", student.intermediate_size, teacher.intermediate_size),
    ):
        if ours > theirs:
            raise ModelError(
                f"student.init: a student {ours} {what} cannot be cut from a teacher {theirs} "
                f"{what}; use at most {theirs}, init: random, or a folder"
            )
    hidden = torch.arange(student.hidden_size)
    heads, width = student.num_attention_heads, student.hidden_size // student.num_attention_heads
    their_width = teacher.hidden_size // teacher.num_attention_heads
    if heads <= teacher.num_attention_heads and width <= their_width:
        rows = torch.arange(heads)[:, None] * their_width + torch.arange(width)[None]  # (H, d)
        rows = rows.flatten()
    else:
        rows = hidden
    return _Cut(hidden=hidden, heads=rows, ffn=torch.arange(student.intermediate_size))


def _load_encoder(student: PreTrainedModel, folder: Path, size: Size) -> None:
    """Take the encoder's weights from a folder; the head stays as drawn."""
    folder = check_folder(model_of_run(folder))
    found = read_config(folder)
    if found.get("model_type") != "bert":
        raise ModelError(
            f"student.init: {folder} holds a '{found.get('model_type')}'; it must be a BERT"
        )
    wanted = {
        "num_hidden_layers": size.layers,
        "hidden_size": size.hidden,
        "num_attention_heads": size.heads,
        "intermediate_size": size.ffn,
        "vocab_size": student.config.vocab_size,
    }
    differs = [
        f"{name} {found.get(name)} (wanted {value})"
        for name, value in wanted.items()
        if found.get(name) != value
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
    missing = sorted(set(info["missing_keys"]))
    lacking = [name for name in missing if not name.startswith("pooler.")]
    if lacking:
        raise ModelError(f"student.init: {folder} has no weights for {lacking[0]}; save it again")
    weights = {name: w for name, w in encoder.state_dict().items() if name not in missing}
    student.base_model.load_state_dict(weights, strict=False)
    if hasattr(student, "cls"):
        _load_heads(student, folder)


def _load_heads(student: PreTrainedModel, folder: Path) -> None:
    """Take the heads of pre-training too, where the folder has them."""
    own = {name: w for name, w in student.state_dict().items() if name.startswith("cls.")}
    for file in sorted(folder.glob("*.safetensors")):
        with loading(folder), safe_open(file, framework="pt") as content:
            for name in own.keys() & set(content.keys()):
                weight = content.get_tensor(name)
                if weight.shape == own[name].shape:
                    own[name].copy_(weight)


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
