"""First weights of a student from its teacher: chosen layers, cut to the student's width.

Legend: D hidden width, H heads, d = D / H head width, F feed-forward neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from distill.errors import ModelError

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


def copy_weights(teacher: PreTrainedModel, student: PreTrainedModel, chosen: Sequence[int]) -> None:
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
