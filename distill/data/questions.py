"""Rows of question answering: a question, the text that may answer it, and the answers in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from distill import digest

#: An answer's text and the character of the context at which it starts.
Answer = tuple[str, int]


@dataclass(frozen=True)
class QuestionSplit:
    """Questions of one split, in the order of their source.

    Args:
        name: ``train``, ``validation`` or ``test``.
        ids: what each question is called; no two alike.
        questions: the questions.
        contexts: the text that each is asked about.
        answers: the answers of each; none where the context has no answer. A model learns the
            first and is scored by the one that is nearest.
        stride: tokens that neighbouring windows of a long context share; ``None`` takes the usual
            number.
        max_question: tokens kept of a question; ``None`` takes the usual number.
    """

    name: str
    ids: list[str]
    questions: list[str]
    contexts: list[str]
    answers: list[tuple[Answer, ...]]
    stride: int | None = None
    max_question: int | None = None

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def texts(self) -> list[str]:
        """The questions: the first text of each row."""
        return self.questions

    @property
    def pairs(self) -> list[str]:
        """The contexts: the second text of each row."""
        return self.contexts

    @property
    def paired(self) -> bool:
        """That rows are two texts."""
        return True

    @cached_property
    def text_digest(self) -> str:
        """SHA-256 (hex) of questions and contexts: what token ids are cached by."""
        return digest.of_json([digest.of_texts(self.questions), digest.of_texts(self.contexts)])

    @cached_property
    def _digest(self) -> str:
        return digest.of_json([self.text_digest, self.answers])

    def digest(self) -> str:
        """SHA-256 (hex) of questions, contexts and answers; names and ids do not count."""
        return self._digest

    def take(self, rows: Sequence[int]) -> QuestionSplit:
        """The rows with these numbers, in the order given."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            questions=[self.questions[row] for row in rows],
            contexts=[self.contexts[row] for row in rows],
            answers=[self.answers[row] for row in rows],
        )

    def renamed(self, name: str) -> QuestionSplit:
        """The same rows under another name."""
        return replace(self, name=name)
