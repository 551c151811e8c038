"""First weights of a student from its teacher: chosen layers, cut to the student's width.

Legend: D hidden width, H heads, d = D / H head width, F feed-forward neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from distill.recipe.model_shapes import unread_positions
from distill.system.errors import ModelError
from students.anatomy import anatomy, inner
from students.family import Family, family_of


def axes_of(model: PreTrainedModel, module: str) -> tuple[str, ...]:
    """What the rows and columns of a module's weight are: ``hidden``, ``heads``, ``ffn``, ``all``.

    A bias, and the gain of a LayerNorm, has the rows only.

    Args:
        model: a model of a known family.
        module: the name of one of its modules.
    """
    parts = anatomy(model)
    family, config = parts.family, model.config
    embedded = "hidden" if parts.projection is None else "all"
    axes = {
        "_embeddings": ("all", embedded),
        family.words: ("all", "all" if getattr(config, "embedding_rank", None) else embedded),
        f"{family.words}.projection": (embedded, "all"),
        "embeddings.LayerNorm": (embedded,),
        family.projection: ("hidden", "all"),
        family.query: ("heads", "hidden"),
        family.key: ("heads", "hidden"),
        family.value: ("heads", "hidden"),
        family.out: ("hidden", "heads"),
        family.out_norm: ("hidden",),
        family.up: ("ffn", "hidden"),
        family.down: ("hidden", "ffn"),
        family.down_norm: ("hidden",),
        "pooler.dense": ("hidden", "hidden"),
        "classifier": ("all", "hidden"),
        "qa_outputs": ("all", "hidden"),
        family.dense: ("hidden", "hidden"),
        family.classifier: ("all", "hidden"),
        "sentence_layers.0.0": ("all", "hidden"),
    }
    # The longest name wins: 'attention.output.dense' ends in 'output.dense' too.
    return axes[max((end for end in axes if module.endswith(end)), key=len)]


@dataclass(frozen=True)
class _Cut:
    """Which of the teacher's dimensions the student keeps; ``width`` is the teacher's."""

    width: int
    hidden: Tensor
    heads: Tensor
    ffn: Tensor

    def of(self, weight: Tensor, axes: Sequence[str]) -> Tensor:
        for dimension, axis in enumerate(axes[: weight.dim()]):
            if axis == "all":
                continue
            kept: Tensor = getattr(self, axis)
            if axis == "hidden" and weight.shape[dimension] != self.width:
                # ELECTRA's embeddings may be narrower than its layers: other dimensions than these.
                kept = torch.arange(min(len(kept), weight.shape[dimension]))
            weight = weight.index_select(dimension, kept)
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


def kept_dimensions(teacher: PreTrainedModel, width: int) -> Tensor:
    r"""The hidden dimensions of a teacher that a narrower student has: those that vary most.

    Behind a LayerNorm with gains g, dimension d has a variance of about :math:`g_d^2`. Kept are the
    dimensions with the largest :math:`\sum g_d^2` over all LayerNorms; of equal ones the first.

    Args:
        teacher: the teacher.
        width: how many; at most its own.

    Returns:
        Their numbers, rising, (width,).

    Reference:
        Samragh et al. 2023, Weight Subcloning, for cutting a student out by importance.
    """
    hidden = int(teacher.config.hidden_size)
    worth = torch.zeros(hidden)
    for module in teacher.base_model.modules():
        if isinstance(module, nn.LayerNorm) and module.weight.shape == (hidden,):
            worth += module.weight.detach().float().cpu().square()
    return worth.argsort(descending=True, stable=True)[:width].sort().values


def put_back(weight: Tensor, teacher: PreTrainedModel) -> None:
    """Make a weight the map of a student's dimensions to the teacher's that they were cut from.

    Args:
        weight: of a Linear layer from the student's width to the teacher's, changed in place; of
            one between other widths it becomes the identity.
        teacher: the teacher.
    """
    wide, narrow = weight.shape
    with torch.no_grad():
        nn.init.eye_(weight)
        if narrow < wide == teacher.config.hidden_size:
            weight.zero_()
            weight[kept_dimensions(teacher, narrow), torch.arange(narrow)] = 1


def copy_weights(
    teacher: PreTrainedModel, student: PreTrainedModel, chosen: Sequence[int] | None
) -> None:
    """Copy what the teacher has of the student's parameters, cut to the student's width.

    Of the hidden width :func:`kept_dimensions` stay.

    Args:
        teacher: left as it is.
        student: changed in place.
        chosen: the teacher's layer, counted from 1, for each of the student's; ``None`` copies no
            layers.
    """
    cut = _cut(teacher, student.config)
    theirs, ours = family_of(teacher.config.model_type), family_of(student.config.model_type)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            place, _, kind = name.removeprefix(f"{student.base_model_prefix}.").rpartition(".")
            source = _source(teacher, place, chosen, ours=ours)
            weight = getattr(source, kind, None)
            # A bare encoder has no classifier, and may have no pooler: those stay as drawn, and so
            # does what the teacher's family does not have or has in another shape.
            if not isinstance(weight, Tensor):
                continue
            weight = weight.detach()
            if place == ours.positions:
                weight = _read_positions(weight, teacher, student)
            if theirs is not ours and place in (ours.words, ours.positions, ours.types):
                weight = _at_full_width(weight, teacher)
            found = cut.of(weight, axes_of(student, place))
            if found.shape == parameter.shape:
                parameter.copy_(found)


def copy_words(teacher: PreTrainedModel, student: PreTrainedModel) -> None:
    """Copy a teacher's word embeddings, cut to the student's width, where they are as wide."""
    tables = (model.get_input_embeddings() for model in (teacher, student))
    theirs, ours = (cast(nn.Embedding, table).weight for table in tables)
    if theirs.shape[1] >= ours.shape[1]:
        with torch.no_grad():
            ours.copy_(theirs[:, : ours.shape[1]])


#: What a layer of every family has, where its family names it.
_PARTS = ("query", "key", "value", "out", "out_norm", "up", "down", "down_norm")


def _source(
    teacher: PreTrainedModel, place: str, chosen: Sequence[int] | None, *, ours: Family
) -> nn.Module | None:
    """The teacher's module that does what the student's at ``place``, a path in it, does."""
    theirs = family_of(teacher.config.model_type)
    if place.startswith(f"{ours.layers}."):
        if chosen is None:
            return None
        number, _, path = place.removeprefix(f"{ours.layers}.").partition(".")
        known = {getattr(ours, part): getattr(theirs, part) for part in _PARTS}
        layer = anatomy(teacher).layers[chosen[int(number)] - 1]
        return inner(layer, known.get(path))
    outside = ("positions", "types", "embedding_norm", "dense", "classifier")
    if place == ours.words:
        return teacher.get_input_embeddings()
    known = {getattr(ours, part): getattr(theirs, part) for part in outside}
    path = known.get(place, place)
    return inner(teacher.base_model, path) or inner(teacher, path)


def _read_positions(table: Tensor, teacher: PreTrainedModel, student: PreTrainedModel) -> Tensor:
    """The rows of a teacher's table of positions that stand for the student's."""
    first = sum(
        sign * unread_positions(model.config.to_dict())
        for sign, model in ((1, teacher), (-1, student))
    )
    return table[max(first, 0) :][: student.config.max_position_embeddings]


def _at_full_width(table: Tensor, teacher: PreTrainedModel) -> Tensor:
    """Narrow embeddings (V, E) brought to the hidden width, as the teacher does; (V, D)."""
    projection = anatomy(teacher).projection
    return table if projection is None else table @ cast(Tensor, projection.weight).T


def _cut(model: PreTrainedModel, student: PreTrainedConfig) -> _Cut:
    teacher = model.config
    ffn = int(getattr(student, family_of(student.model_type).ffn_size))
    family = family_of(teacher.model_type)
    for what, ours, theirs, copied in (
        ("wide", student.hidden_size, teacher.hidden_size, True),
        ("wide in its feed-forward part", ffn, getattr(teacher, family.ffn_size), bool(family.up)),
    ):
        if ours > theirs and copied:
            raise ModelError(
                f"student.init: a student {ours} {what} cannot be cut from a teacher {theirs} "
                f"{what}; use at most {theirs}, init: random, or a folder"
            )
    heads, width = student.num_attention_heads, student.hidden_size // student.num_attention_heads
    their_width = teacher.hidden_size // teacher.num_attention_heads
    if heads <= teacher.num_attention_heads and width <= their_width:
        rows = torch.arange(heads)[:, None] * their_width + torch.arange(width)[None]  # (H, d)
        rows = rows.flatten()
    else:
        rows = torch.arange(student.hidden_size)
    hidden = kept_dimensions(model, student.hidden_size)
    return _Cut(width=int(teacher.hidden_size), hidden=hidden, heads=rows, ffn=torch.arange(ffn))
