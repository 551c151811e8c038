"""What a distillation matches: the signals needed of each model, their layers and projections."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal, cast

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


@dataclass(frozen=True)
class Matched:
    """Who learns from whom."""

    teacher: PreTrainedModel | None  # ``None`` where its logits are all that is matched
    student: PreTrainedModel  # the model that learns
    logits: TeacherLogits | None  # the teacher's, where they were made before

    def check(self, needs: AbstractSet[str]) -> frozenset[str]:
        """Refuse what would otherwise fail, or silently teach nonsense, in the first step.

        Args:
            needs: the signals that objectives read.

        Returns:
            The signals that the teacher has to run for: none that were made before.

        Raises:
            ModelError: student, teacher and logits do not go together.
        """
        teacher, student = self.teacher, self.student
        wanted = needs - {"mlm"} - ({"logits"} if self.logits is not None else set())
        if teacher is None and wanted:
            raise ModelError(
                f"objectives need the teacher's {', '.join(sorted(wanted))}: give a teacher"
                + ("" if wanted != {"logits"} else " or teacher_logits")
            )
        if teacher is student:
            raise ModelError("teacher and student are the same object: the student would be frozen")
        if teacher is not None and teacher.config.vocab_size != student.config.vocab_size:
            raise ModelError(
                f"the student's vocabulary has {student.config.vocab_size} tokens and the "
                f"teacher's {teacher.config.vocab_size}: both read the same token ids, so build "
                "the student with the teacher's vocabulary"
            )
        ours, theirs = outputs_of(student), self._outputs
        # Vectors of two widths are compared by what they say of each other.
        if "logits" in needs and ours != theirs and head_of(student) != "vectors":
            raise ModelError(
                f"the student has {ours} outputs and the teacher {theirs}: both need the task's "
                "labels"
            )
        return frozenset(wanted)

    @property
    def _outputs(self) -> int:
        if self.logits is not None:
            return int(self.logits.shape[-1])
        return outputs_of(self.teacher) if self.teacher is not None else 0

    def layer_map(
        self,
        wanted: LayerMap | str | Sequence[Sequence[int]],
        objectives: Sequence[Objective[Any]],
    ) -> LayerMap:
        """The layer map; an empty one where no objective goes by it."""
        if self.teacher is None or not any(one.config.mapped for one in objectives):
            return LayerMap(())
        if isinstance(wanted, LayerMap):
            return wanted
        return make_layer_map(wanted, anatomy(self.student).depth, anatomy(self.teacher).depth)

    def maps(self, objectives: Sequence[Objective[Any]], layer_map: LayerMap) -> Maps:
        """Each objective with the pairs of layers that it compares, of those of the layer map."""
        if self.teacher is None:
            return [(objective, layer_map) for objective in objectives]
        student, teacher = (
            int(getattr(model.config, "num_hidden_layers", 0))
            for model in (self.student, self.teacher)
        )
        return [
            (one, one.layers(layer_map, student=student, teacher=teacher)) for one in objectives
        ]

    def projections(
        self, kind: Literal["shared", "per_layer"], maps: Maps, *, seed: int | None
    ) -> Projections | None:
        """A projection for every hidden state that an objective projects, and for vectors.

        Their keys are the layer, 0 for the embedding, and below 0 for sentence vectors. Without a
        ``seed`` they begin by putting the student's dimensions where they were cut from the
        teacher's.
        """
        teacher, student = self.teacher, self.student
        hidden = outputs = (int(student.config.hidden_size), 0)
        if teacher is not None:
            hidden = (hidden[0], int(teacher.config.hidden_size))
        if head_of(student) == "vectors":
            outputs = (outputs_of(student), self._outputs)
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
