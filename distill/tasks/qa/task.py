"""The part of a text that answers a question about it.

Shapes: B batch, L length. A batch's ``labels`` (B, L) say which tokens may start or end an answer
and which do; see :class:`distill.tasks.qa.windows.WindowedDataset`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from distill.capture.signals import ABSENT
from distill.data.reader import Reader
from distill.data.split import TaskData
from distill.system import distributed
from distill.tasks.analysis import Analysis
from distill.tasks.base import Task
from distill.tasks.floors import Floor
from distill.tasks.metrics import Collected
from distill.tasks.qa.analysis import AnswerAnalysis, best_of
from distill.tasks.qa.characters import by_characters, cut_alike
from distill.tasks.qa.data import QuestionReader
from distill.tasks.qa.floor import AnswerFloor
from distill.tasks.qa.windows import END, OUTSIDE, START, Asked, QuestionSplit
from distill.text.spans import Decoding, window_spans


class AnswerScore(Collected):
    """Mean over the questions of one score of their answers, from any order of their windows.

    Of a question's windows the one with the best span gives the answer, of equal ones the first;
    seen twice it counts once. Where questions may have no answer, that is what is given when the
    smallest score of none among the windows is nearer than ``threshold`` to the best span's.

    A batch of windows brings their questions' numbers (B,), their own (B,), the score of the best
    span of each (B,), that of no answer (B,), and exact match and F1 of the best span's text, then
    of the empty text, (B, 4).

    Args:
        score: the column of the last that is averaged.
        decoding: how answers are chosen.
    """

    kept = ("question", "window", "best", "none", "scores")

    def __init__(self, score: int, decoding: Decoding) -> None:
        super().__init__()
        self.score = score
        self.decoding = decoding

    def compute(self) -> Tensor:
        question, window, best, none, scores = (one.cpu().numpy() for one in self.whole())
        # The best window of each question comes first, of equal ones the earlier.
        order = np.lexsort((window, -best, question))
        _, places, where = np.unique(question[order], return_index=True, return_inverse=True)
        chosen = order[places]
        found = scores[chosen, self.score]
        if self.decoding.no_answer:
            least = np.full(len(places), np.inf)
            np.minimum.at(least, where, none[order])
            empty = best[chosen] - least < self.decoding.threshold
            found = np.where(empty, scores[chosen, self.score + 2], found)
        return torch.tensor(found.mean(), dtype=torch.float64)


class QuestionAnswering(Task):
    """Start and end of the answer, by the cross-entropy over the tokens of the context.

    The first token stands for "not in this window". Metrics, both with SQuAD's normalisation and
    the right answer that is nearest:

    - ``f1``: words in common with it;
    - ``em``: share of questions that are answered in its words exactly.
    """

    kind: ClassVar[str] = "qa"
    reader: ClassVar[type[Reader]] = QuestionReader
    head: ClassVar[str] = "spans"
    fixed_labels: ClassVar[tuple[str, ...] | None] = ("start", "end")
    analyses: ClassVar[type[Analysis] | None] = AnswerAnalysis

    def prepare(self, examples: Sequence[Any]) -> None:
        self.decoding = Decoding.of(self.settings)

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        task = cls()
        return list(task.labels), task.settings

    @property
    def settings(self) -> dict[str, Any]:
        keys = ("max_answer_length", "no_answer", "threshold", "stride", "max_question_length")
        return {key: getattr(self.config, key) for key in keys}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        r"""The mean of start's and end's cross-entropy over the tokens that may be either."""
        rows = _distributions(logits.float(), labels)  # (2B, L)
        places = _places(labels)  # (2B,)
        return distributed.mean(F.cross_entropy(rows, places, reduction="none"))

    def decide(self, logits: Tensor) -> Tensor:
        """The likeliest start and end of each window, (B, 2), without regard to each other."""
        return logits.argmax(dim=1)

    def carried(
        self, logits: npt.NDArray[np.float32], theirs: Any, ours: Any
    ) -> npt.NDArray[np.float32]:
        return logits if cut_alike(theirs, ours) else by_characters(logits, theirs, ours)

    def comparable(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Starts, then ends, as distributions over the window's tokens: (2B, L)."""
        return _distributions(logits, batch["labels"])

    def comparable_labels(self, batch: Mapping[str, Any]) -> Tensor:
        """Where the answers start, then where they end, (2B,)."""
        return _places(batch["labels"])

    def floor(self, data: TaskData) -> Floor:
        train = cast(QuestionSplit, data.train)
        return AnswerFloor(train, no_answer=self.decoding.no_answer)

    def scores(self) -> dict[str, Metric]:
        return {"em": AnswerScore(0, self.decoding), "f1": AnswerScore(1, self.decoding)}

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        device = logits.device
        rows = logits.detach().float().cpu().numpy()  # (B, L, 2)
        asked: list[Asked] = batch["asked"]
        found = [self._scored(row, one) for row, one in zip(rows, asked, strict=True)]
        values = torch.tensor(found, dtype=torch.float64, device=device)  # (B, 6)
        question = torch.tensor([one.question for one in asked], device=device)
        metrics.update(question, batch["index"], values[:, 0], values[:, 1], values[:, 2:])

    def _scored(self, logits: Any, asked: Asked) -> tuple[float, ...]:
        """Score of the best span and of none; exact match and F1 of either."""
        spans, none = window_spans(
            logits, asked.first, asked.chars, max_answer=self.decoding.max_answer, count=1
        )
        best, text = -np.inf, ""
        if spans:
            best, text = spans[0].score, asked.context[spans[0].start : spans[0].end]
        return best, none, *best_of(text, asked.answers), *best_of("", asked.answers)


def _distributions(logits: Tensor, labels: Tensor) -> Tensor:
    """Start and end logits (B, L, 2) as rows (2B, L), those of other tokens out of the way."""
    flat = logits.permute(2, 0, 1).flatten(0, 1)  # (2B, L)
    outside = (labels == OUTSIDE).repeat(2, 1)
    return flat.masked_fill(outside, ABSENT)


def _places(labels: Tensor) -> Tensor:
    """The tokens where the answers start, then where they end, (2B,)."""
    known = labels.clamp(min=0)  # (B, L)
    return torch.cat([(known & bit).ne(0).long().argmax(dim=1) for bit in (START, END)])


TASK = QuestionAnswering
