"""Rows of question answering: a question, the text that may answer it, and the answers in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from distill.data.split import Split

#: An answer's text and the character of the context at which it starts.
Answer = tuple[str, int]


@dataclass(frozen=True)
class QuestionSplit(Split):
    """Questions of one split, in the order of their source.

    The questions are the texts, the contexts their pairs and the answers their labels: of each
    question a tuple, empty where the context has no answer. A model learns the first answer and is
    scored by the one that is nearest.

    Args:
        ids: what each question is called; no two alike.
        stride: tokens that neighbouring windows of a long context share; ``None`` takes the usual
            number.
        max_question: tokens kept of a question; ``None`` takes the usual number.
    """

    ids: list[str] = field(default_factory=list)
    stride: int | None = None
    max_question: int | None = None

    @property
    def questions(self) -> list[str]:
        """The questions."""
        return self.texts

    @property
    def contexts(self) -> list[str]:
        """The text that each is asked about."""
        return self.pairs or []

    @property
    def answers(self) -> list[tuple[Answer, ...]]:
        """The answers of each."""
        return self.labels

    def take(self, rows: Sequence[int]) -> QuestionSplit:
        """The rows with these numbers, in the order given."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            pairs=[self.contexts[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            ids=[self.ids[row] for row in rows],
        )
