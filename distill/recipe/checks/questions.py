"""Faults of recipes that answer questions."""

from __future__ import annotations

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import (
    Columns,
    DistillStage,
    PruneStage,
    QuantizeStage,
    QuestionTask,
    Recipe,
)

#: Special tokens around a question and its text, at most.
_SPECIAL = 4
_OURS = ("question", "context", "answers")
_OTHERS = ("text", "text_pair", "label")


def window_lengths(task: QuestionTask, max_length: int) -> tuple[int, int]:
    """Tokens that windows share and tokens kept of a question, where the recipe names none too.

    :class:`distill.text.questions.Limits` has the same numbers, and a test compares the two.
    """
    stride = max_length // 3 if task.stride is None else task.stride
    question = task.max_question_length
    return stride, min(64, max_length // 2) if question is None else question


def questions(recipe: Recipe) -> Findings:
    """What does not go together with questions, and what only they have."""
    task, data = recipe.task, recipe.data
    # A run's resolved recipe says everything, so that only what is not the default was meant.
    plain = Columns()
    answers = isinstance(task, QuestionTask)
    for column in _OTHERS if answers else _OURS:
        if getattr(data.columns, column) != getattr(plain, column):
            own = ", ".join((*_OURS, "id"))
            yield (
                ("data", "columns", column),
                f"questions have the columns {own}; leave it out"
                if answers
                else "only for task.kind: qa; leave it out",
            )
    if not isinstance(task, QuestionTask):
        return
    if data.source == "builtin":
        yield ("data", "source"), "the built-in data have no questions; take files or hub"
    stride, question = window_lengths(task, data.max_length)
    if stride + question + _SPECIAL >= data.max_length:
        yield (
            ("data", "max_length"),
            f"{data.max_length} tokens leave no room for the text beside {question} of a question, "
            f"{stride} shared with the window before and {_SPECIAL} special ones; raise it, or "
            "lower task.stride or task.max_question_length",
        )
    if task.threshold and not task.no_answer:
        yield ("task", "threshold"), "only with no_answer: true; leave it out"
    yield from _stages(recipe)


def _stages(recipe: Recipe) -> Findings:
    trimmed = False
    for index, stage in enumerate(recipe.stages):
        if stage.kind == "augment":
            yield (
                ("stages", index, "kind"),
                "'augment' replaces words, after which answers no longer stand where they did; "
                "leave it out",
            )
        learns = isinstance(stage, DistillStage | PruneStage) or (
            isinstance(stage, QuantizeStage) and stage.method == "qat"
        )
        if trimmed and learns:
            yield (
                ("stages", index, "kind"),
                "the teacher's logits are of its own tokens, and a vocabulary stage before gave "
                "the student others; move that stage behind this one",
            )
        trimmed |= isinstance(stage, PruneStage) and stage.own_tokens
