"""What a distillation matches: the signals needed of each model, their layers and projections."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

from torch import nn
from transformers import PreTrainedModel

from distill.capture.capture import Capture
from distill.capture.layer_map import LayerMap, make_layer_map
from distill.capture.projection import Projections
from distill.objectives import Objective
from distill.system.errors import ModelError
from students.anatomy import anatomy
from students.from_teacher import put_back
from students.heads import head_of, outputs_of
from teachers.cache import TeacherLogits

#: Each objective with the pairs of layers that it compares.
Maps = list[tuple[Objective[Any], LayerMap]]


def needs_of_teacher(
    needs: AbstractSet[str], teacher: PreTrainedModel | None, logits: TeacherLogits | None
) -> frozenset[str]:
    """The signals that the teacher has to run for: none that were made before.

    Raises:
        ModelError: there are some, and no teacher.
    """
    wanted = frozenset(needs - {"mlm"} - ({"logits"} if logits is not None else set()))
    if teacher is None and wanted:
        raise ModelError(
            f"objectives need the teacher's {', '.join(sorted(wanted))}: give a teacher"
            + ("" if wanted != {"logits"} else " or teacher_logits")
        )
    return wanted


def capture_of(
    model: PreTrainedModel, maps: Maps, needs: AbstractSet[str], *, side: int
) -> Capture:
    """Every signal at the layers where an objective needs it.

    Args:
        model: student or teacher.
        maps: the objectives and their layers.
        needs: the signals wanted of this model.
        side: 0 for the student, 1 for the teacher: its place in the pairs.
    """

    def layers(*signals: str) -> frozenset[int]:
        return frozenset(
            pair[side]
            for objective, layer_map in maps
            if objective.needs & needs & set(signals)
            for pair in layer_map.pairs
        )

    return Capture(
        model,
        attention=layers("attention"),
        vectors=layers("queries", "keys", "values"),
        hidden=layers("hidden"),
        embedding="embedding" in needs,
        logits="logits" in needs,
        mlm="mlm" in needs,
    )


def layer_map_of(
    wanted: LayerMap | str | Sequence[Sequence[int]],
    teacher: PreTrainedModel | None,
    student: PreTrainedModel,
    objectives: Sequence[Objective[Any]],
) -> LayerMap:
    """The layer map; an empty one where no objective goes by it."""
    if teacher is None or not any(objective.config.mapped for objective in objectives):
        return LayerMap(())
    if isinstance(wanted, LayerMap):
        return wanted
    return make_layer_map(wanted, anatomy(student).depth, anatomy(teacher).depth)


def maps_of(
    objectives: Sequence[Objective[Any]],
    layer_map: LayerMap,
    teacher: PreTrainedModel | None,
    student: PreTrainedModel,
) -> Maps:
    """Each objective with the pairs of layers that it compares, of those of the layer map."""
    if teacher is None:
        return [(objective, layer_map) for objective in objectives]
    student_layers, teacher_layers = (
        int(getattr(model.config, "num_hidden_layers", 0)) for model in (student, teacher)
    )
    depths = {"student": student_layers, "teacher": teacher_layers}
    return [(objective, objective.layers(layer_map, **depths)) for objective in objectives]


def projections_of(
    kind: str,
    teacher: PreTrainedModel | None,
    student: PreTrainedModel,
    maps: Maps,
    *,
    logits: TeacherLogits | None,
    seed: int | None,
) -> Projections | None:
    """A projection for every hidden state that an objective projects, and for sentence vectors.

    Their keys are the layer, 0 for the embedding, and below 0 for vectors. Without a ``seed`` they
    begin by putting the student's dimensions where they were cut from the teacher's.
    """
    hidden = outputs = (int(student.config.hidden_size), 0)
    if teacher is not None:
        hidden = (hidden[0], int(teacher.config.hidden_size))
    if head_of(student) == "vectors":
        outputs = (outputs_of(student), _outputs(teacher, logits))
    layers: set[int] = set()
    for objective, layer_map in maps:
        widths = outputs if objective.needs == {"logits"} else hidden
        layers |= objective.projected(layer_map, widths=widths)
    if not layers:
        return None
    made = Projections(*hidden, layers=layers, vectors=outputs, kind=kind, seed=seed)
    if teacher is not None and seed is None:
        for linear in made.maps.values():
            put_back(cast(nn.Linear, linear).weight, teacher)
    return made


def _outputs(teacher: PreTrainedModel | None, logits: TeacherLogits | None) -> int:
    if logits is not None:
        return int(logits.shape[-1])
    return outputs_of(teacher) if teacher is not None else 0


def check_models(
    teacher: PreTrainedModel | None,
    student: PreTrainedModel,
    needs: AbstractSet[str],
    logits: TeacherLogits | None,
) -> None:
    """Refuse what would otherwise fail, or silently teach nonsense, in the first step.

    Raises:
        ModelError: student, teacher and logits do not go together.
    """
    if teacher is student:
        raise ModelError("teacher and student are the same object: the student would be frozen")
    if teacher is not None and teacher.config.vocab_size != student.config.vocab_size:
        raise ModelError(
            f"the student's vocabulary has {student.config.vocab_size} tokens and the teacher's "
            f"{teacher.config.vocab_size}: both read the same token ids, so build the student "
            "with the teacher's vocabulary"
        )
    if "logits" not in needs:
        return
    outputs = _outputs(teacher, logits)
    # Vectors of two widths are compared by what they say of each other.
    if outputs != outputs_of(student) and head_of(student) != "vectors":
        raise ModelError(
            f"the student has {outputs_of(student)} outputs and the teacher {outputs}: "
            "both need the task's labels"
        )
