"""The ``task`` section of unlabelled text, where nothing is predicted or scored."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from distill.section import Issues
from distill.tasks.config import TaskSection

if TYPE_CHECKING:
    from distill.recipe.schema import Recipe

#: Kinds of stages that need no labels.
_STAGES = ("pretrain", "distill")


class TextTask(TaskSection):
    """Unlabelled text: nothing is predicted, and what comes out is an encoder without a head."""

    columns: ClassVar[tuple[str, ...]] = ("text",)
    learns_text: ClassVar[bool] = True

    kind: Literal["text"]

    if not TYPE_CHECKING:  # what other tasks say in a recipe, and this one has none of
        labels: ClassVar[list[str] | None] = None
        metric: ClassVar[str] = ""

    def issues(self, recipe: Recipe, hidden: int | None) -> Issues:
        data, teacher, baseline = recipe.data, recipe.teacher, recipe.baseline
        skip = "only for examples with labels, not unlabelled text"
        scratch = "it is trained on labels, of which text has none"
        more = "further teachers give logits, which a run over unlabelled text has not"
        for key, given, message in (
            ("data.test", data.test, "unlabelled text has no score to test"),
            ("data.more", data.more, "only for examples with labels"),
            ("data.on_bad_row", data.on_bad_row == "skip", skip),
            ("baseline", not isinstance(baseline, bool), scratch),
            ("teacher.finetune", teacher.finetune, "fine-tuning needs labels"),
            ("teacher.labels", teacher.labels, "unlabelled text has none"),
            ("teacher.more", teacher.more, more),
        ):
            if given:
                pronoun = "them" if key == "teacher.more" else "it"
                yield tuple(key.split(".")), f"{message}; leave {pronoun} out"
        yield from self._stages(recipe)

    def _stages(self, recipe: Recipe) -> Issues:
        for index, stage in enumerate(recipe.stages):
            if stage.kind not in _STAGES:
                yield (
                    ("stages", index, "kind"),
                    f"'{stage.kind}' needs a task with labels; a text recipe ends with its "
                    "student, which a task's recipe starts from: student.init: RUN_FOLDER",
                )
            if stage.kind in _STAGES and getattr(stage, "patience", None) is not None:
                yield (
                    ("stages", index, "patience"),
                    "text has no score to stop by; leave it out, or give `max_steps`",
                )
            if stage.kind != "distill":
                continue
            for place, objective in enumerate(stage.objectives):
                if "logits" in objective.signals:
                    yield (
                        ("stages", index, "objectives", place),
                        "an encoder without a head gives no logits; match embedding, attention or "
                        "hidden",
                    )
            if stage.layer_map == "search":
                yield (
                    ("stages", index, "layer_map"),
                    "maps are searched by a score, which text has not; name one, or give pairs",
                )


CONFIG = TextTask
