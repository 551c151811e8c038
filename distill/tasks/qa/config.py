"""The ``task`` section of questions about a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt

from distill.section import Issues, PositiveInt
from distill.tasks.config import UnnamedOutputs

if TYPE_CHECKING:
    from distill.recipe.schema import Recipe

#: Special tokens around a question and its text, at most.
_SPECIAL = 4


class QuestionTask(UnnamedOutputs):
    """The part of a text that answers a question about it."""

    columns: ClassVar[tuple[str, ...]] = ("question", "context", "answers", "id")
    of_tokens: ClassVar[bool] = True
    not_builtin: ClassVar[str] = "questions"
    not_augmented: ClassVar[str] = (
        "replaces words, after which answers no longer stand where they did; leave it out"
    )

    kind: Literal["qa"]
    metric: Literal["f1", "em"] = "f1"
    """What is reported and what chooses the best checkpoint: words in common with the answer, or
    the same answer exactly."""
    no_answer: StrictBool = False
    """Whether a text need not answer its question, as in SQuAD 2."""
    threshold: float = 0.0
    """With ``no_answer``: by how much the log probability of the best answer must at least exceed
    that of none; higher numbers leave more questions unanswered."""
    stride: Annotated[StrictInt, Field(ge=0)] | None = None
    """Tokens that neighbouring windows of a long text share; left out, a third of
    ``data.max_length``."""
    max_answer_length: Annotated[StrictInt, Field(ge=1)] = 30
    """Most tokens of an answer that is given."""
    max_question_length: PositiveInt | None = None
    """Tokens kept of a question; left out, 64 and at most half of ``data.max_length``."""

    def window_lengths(self, max_length: int) -> tuple[int, int]:
        """Tokens that windows share and tokens kept of a question, where neither is given too.

        :class:`distill.text.questions.Limits` has the same numbers, and a test compares the two.
        """
        stride = max_length // 3 if self.stride is None else self.stride
        question = self.max_question_length
        return stride, min(64, max_length // 2) if question is None else question

    def issues(self, recipe: Recipe, hidden: int | None) -> Issues:
        length = recipe.data.max_length
        stride, question = self.window_lengths(length)
        if stride + question + _SPECIAL >= length:
            yield (
                ("data", "max_length"),
                f"{length} tokens leave no room for the text beside {question} of a "
                f"question, {stride} shared with the window before and {_SPECIAL} special ones; "
                "raise it, or lower task.stride or task.max_question_length",
            )
        if self.threshold and not self.no_answer:
            yield ("task", "threshold"), "only with no_answer: true; leave it out"
        yield from super().issues(recipe, hidden)

    def unfit(self) -> Mapping[str, str]:
        reason = "compares the same classes in every row, and texts differ in length; take logits"
        return {"standardized": reason}


CONFIG = QuestionTask
