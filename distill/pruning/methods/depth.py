"""``depth``: whole layers removed; what is left is a stock BERT with fewer layers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from distill.pruning.methods.base import OnBatches
from distill.section import Issues, PositiveInt

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench, Pruned
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before, Shape

STEPS = 50


class DepthPrune(OnBatches):
    """Layers without which the loss of the teacher's outputs rises least."""

    method: Literal["depth"]
    """Whole layers, tried one after another."""
    layers: PositiveInt | None = None
    """How many layers are removed, those first without which the loss rises least."""
    keep: Annotated[list[PositiveInt], Field(min_length=1)] | None = None
    """Which layers are kept, counted from 1, in place of ``layers``."""
    score_steps: PositiveInt | None = None
    """Batches on which a layer is judged; left out, 50."""

    def _left(self, layers: int) -> int:
        return len(self.keep) if self.keep else max(1, layers - (self.layers or 0))

    def shape_left(self, shape: Shape) -> Shape:
        return replace(shape, layers=self._left(shape.layers))

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        yield from super().issues(recipe, before)
        if (self.layers is None) == (self.keep is None):
            yield (
                ("method",),
                "'depth' needs `layers` (how many go) or `keep` (a list), one of them",
            )
        if self.keep is not None and self.keep != sorted(set(self.keep)):
            yield ("keep",), "layers stay in their order, each once, such as [1, 3, 6]"
        if before.student is None:
            return
        layers = before.student.layers
        if self.layers is not None and self.layers >= layers:
            yield ("layers",), f"the student has {layers} layers then; at least one must stay"
        for layer in [layer for layer in self.keep or () if layer > layers]:
            yield ("keep",), f"there is no student layer {layer} then; they are 1 to {layers}"

    def describe(self) -> str:
        if self.keep:
            return f"keep layers {', '.join(map(str, self.keep))}"
        return f"remove {self.layers} of the layers"

    def removes(self, student: PreTrainedModel, ease: float) -> bool:
        return bool(self._removed(student, ease))

    def _removed(self, student: PreTrainedModel, ease: float) -> int:
        """How many layers go: all that were asked for, or a part of them, rounded down."""
        depth = int(student.config.num_hidden_layers)
        return int((depth - self._left(depth)) * ease)

    def prune(self, student: PreTrainedModel, bench: Bench, ease: float) -> Pruned:
        from distill.pruning.bench import Pruned
        from distill.pruning.layers import keep_layers, layers_to_keep

        if self.keep and ease == 1.0:
            keep = self.keep
        else:  # where fewer layers go than were asked for, the best stay
            keep = layers_to_keep(
                student,
                loss_of=bench.loss_of,
                batches=bench.batches(self.batch_size),
                remove=self._removed(student, ease),
                steps=self.score_steps or STEPS,
            )
        note = f"layers {', '.join(map(str, keep))} stay"
        return Pruned(keep_layers(student, keep), {"layers": list(keep), "notes": [note]})
