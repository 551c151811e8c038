"""What the evaluation keeps of question answering: every answer, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distill.data.split import Split
from distill.data.tokenized import TokenRows
from distill.evaluation import predictions
from distill.evaluation.answers import AnswerPredictions, write_answers
from distill.evaluation.bootstrap import Scorer, mean_scorer
from distill.evaluation.results import TEACHER
from distill.evaluation.score import Seen
from distill.stages.judge import MOST_ROWS, Judge, write_disagreements
from distill.tasks.base import Task
from distill.tasks.qa.answers import best_of
from distill.tasks.qa.task import QuestionAnswering
from distill.tasks.qa.windows import QuestionSplit

_NONE = "(no answer)"


class AnswerJudge(Judge):
    """Keeps the answers to every question.

    Args:
        task: the run's task.
        split: the scored questions.
    """

    def __init__(self, task: QuestionAnswering, split: QuestionSplit) -> None:
        self.split, self.metric = split, task.primary
        self.found = AnswerPredictions(split, task.decoding)

    def keeper(self, model: str, task: Task, rows: TokenRows) -> Seen | None:
        """See :meth:`Judge.keeper`."""
        del task, rows
        return self.found.keeper(model)

    def of_model(self, model: str) -> dict[str, Any]:
        """Whether answers are as often right as they are sure."""
        return {"calibration": self.found.calibration(model)}

    @property
    def rows(self) -> int:
        """See :meth:`Judge.rows`: questions."""
        return len(self.split)

    def scorer(self, model: str) -> Scorer | None:
        """See :meth:`Judge.scorer`."""
        told = self.found.answers(model)
        return mean_scorer(told.em if self.metric == "em" else told.f1)

    def majority(self, train: Split) -> Scorer | None:
        """No answer to anything."""
        del train
        none = [best_of("", [text for text, _ in answers]) for answers in self.split.answers]
        return mean_scorer(np.asarray(none)[:, 0 if self.metric == "em" else 1])

    @property
    def _final(self) -> str:
        return list(self.found.windows)[-1]

    def of_final(self) -> dict[str, Any]:
        """Disagreements with the teacher."""
        return {"disagreement": self.found.disagreement(TEACHER, self._final)}

    def write(self, folder: Path) -> list[Path]:
        """See :meth:`Judge.write`."""
        final = self._final
        write_answers(folder / predictions.FILE, self.found)
        rows = self.found.disagreeing(TEACHER, final, most=MOST_ROWS)
        return [folder / predictions.FILE, write_disagreements(folder, final, rows, self._row)]

    def _row(self, row: int, roles: Mapping[str, str]) -> dict[str, Any]:
        answers = {}
        for role, name in roles.items():
            told = self.found.answers(name)
            answers[role] = {
                "said": self.found.texts(name)[row] or _NONE,
                "confidence": float(told.scores[row]),
                "right": bool(told.em[row]),
                "start": int(told.starts[row]),
            }
        golds = list(dict.fromkeys(text for text, _ in self.split.answers[row]))
        return {
            "row": row,
            "id": self.split.ids[row],
            "text": self.split.questions[row],
            "text_pair": self.split.contexts[row],
            "label": " / ".join(golds) or _NONE,
            **answers,
        }
