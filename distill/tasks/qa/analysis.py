"""Answers to each question, how sure they are, and how right, as SQuAD's evaluation script counts.

Legend: N questions, B windows of a batch, L length.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from distill.data.split import Split
from distill.data.tokenized import TokenExamples
from distill.tasks.analysis import Analysis, Array, Flags, Keep
from distill.tasks.qa.windows import Asked, QuestionSplit
from distill.tasks.scorers import Scorer, mean_scorer
from distill.text.spans import Span, answer, window_spans

if TYPE_CHECKING:
    from distill.tasks.base import Task
    from distill.tasks.qa.task import QuestionAnswering

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """An answer in lower case, without punctuation, articles and repeated white space.

    Example:
        >>> normalize("The  Eiffel-Tower!")
        'eiffeltower'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def f1(answer: str, gold: str) -> float:
    r"""F1 :math:`2PR/(P+R)` over the words that two normalised answers share.

    Where one of them has no words, 1 if neither has, else 0.
    """
    ours, theirs = normalize(answer).split(), normalize(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


def best_of(answer: str, golds: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 with the gold answer that is nearest by each.

    Args:
        answer: what was answered; the empty text says that nothing answers.
        golds: the right answers. As in SQuAD 2, those without words do not count, and where none
            is left the right answer is the empty text.
    """
    right = [gold for gold in golds if normalize(gold)] or [""]
    return (
        float(normalize(answer) in map(normalize, right)),
        max(f1(answer, gold) for gold in right),
    )


_NONE = "(no answer)"
#: Of a question: the number of each window, with its best span and the score of none.
Windows = dict[int, tuple[list[Span], float]]


class Answers(NamedTuple):
    """A model's answers to N questions, (N,) each; of no answer both places are 0."""

    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]  # the character behind the last
    scores: npt.NDArray[np.float32]  # probabilities
    em: npt.NDArray[np.float32]  # whether it is one of the right ones exactly
    f1: npt.NDArray[np.float32]  # words in common with the nearest right one


class AnswerAnalysis(Analysis):
    """The answer to each question."""

    def __init__(self, task: QuestionAnswering, split: QuestionSplit) -> None:
        super().__init__(task, split)
        self.decoding = task.decoding
        self._answers: dict[str, Answers] = {}

    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        kept: list[Windows] = [{} for _ in range(len(self))]
        self.outputs[model] = kept
        self._answers.pop(model, None)

        def keep(logits: npt.NDArray[np.float32], batch: Mapping[str, Any]) -> None:
            asked: list[Asked] = batch["asked"]
            for row, one, window in zip(logits, asked, batch["index"].tolist(), strict=True):
                kept[one.question][window] = window_spans(
                    row, one.first, one.chars, max_answer=self.decoding.max_answer, count=1
                )

        return keep

    def answers(self, model: str) -> Answers:
        """What it answers: of a question's windows, the one with the best span decides."""
        if model not in self._answers:
            self._answers[model] = self._chosen(model)
        return self._answers[model]

    def _chosen(self, model: str) -> Answers:
        places, shares, rights = [], [], []
        for row, windows in enumerate(self.outputs[model]):
            ordered = [windows[window] for window in sorted(windows)]
            chosen = answer(self.split.contexts[row], ordered, self.decoding)
            places.append((chosen["start"], chosen["end"]))
            shares.append(chosen["score"])
            rights.append(best_of(chosen["answer"], self._golds(row)))
        starts, ends = np.asarray(places, dtype=np.int32).T
        em, f1 = np.asarray(rights, dtype=np.float32).T
        return Answers(starts, ends, np.asarray(shares, dtype=np.float32), em=em, f1=f1)

    def _golds(self, row: int) -> list[str]:
        return [text for text, _ in self.split.answers[row]]

    def texts(self, model: str) -> list[str]:
        """The answers in words; the empty text says that nothing answers."""
        own = self.answers(model)
        places = zip(self.split.contexts, own.starts.tolist(), own.ends.tolist(), strict=True)
        return [context[start:end] for context, start, end in places]

    def shared(self) -> dict[str, Array]:
        return {"ids": np.array(self.split.ids, dtype=np.str_)}

    def arrays(self, model: str) -> dict[str, Array]:
        return self.answers(model)._asdict()

    def right(self, model: str) -> Flags:
        return self.answers(model).em > 0

    def confidence(self, model: str) -> tuple[npt.NDArray[np.float32], Flags]:
        return self.answers(model).scores, self.right(model)

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        theirs, own = (list(map(normalize, self.texts(name))) for name in (teacher, model))
        differ = [one != other for one, other in zip(theirs, own, strict=True)]
        return np.where(differ, self.answers(model).scores, np.float32(-np.inf))

    def target_in_words(self, index: int) -> str:
        return " / ".join(dict.fromkeys(self._golds(index))) or _NONE

    def example(self, index: int) -> dict[str, Any]:
        return {**super().example(index), "id": self.split.ids[index]}

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        own = self.answers(model)
        return {
            "prediction": self.texts(model)[index] or _NONE,
            "confidence": float(own.scores[index]),
            "right": bool(own.em[index]),
            "start": int(own.starts[index]),
        }

    def scorer(self, model: str) -> Scorer | None:
        own = self.answers(model)
        return mean_scorer(own.em if self.task.primary == "em" else own.f1)

    def majority(self, train: Split) -> Scorer | None:
        none = np.asarray([best_of("", self._golds(row)) for row in range(len(self))])  # (N, 2)
        return mean_scorer(none[:, 0 if self.task.primary == "em" else 1])
