"""What the evaluation keeps of tasks with one row of outputs for each row of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from distill.data.split import Split
from distill.data.tokenized import TokenRows
from distill.evaluation import predictions
from distill.evaluation.bootstrap import Scorer
from distill.evaluation.mistakes import (
    calibration,
    confusion,
    disagreeing_rows,
    disagreement,
    label_scores,
    told_answer,
    told_target,
)
from distill.evaluation.predictions import Predictions, write_predictions
from distill.evaluation.results import MAJORITY, TEACHER
from distill.evaluation.score import Seen
from distill.evaluation.scorers import row_scorer
from distill.stages.judge import MOST_ROWS, Judge, write_disagreements
from distill.tasks.base import Task


class RowJudge(Judge):
    """Keeps the probabilities of labels, or the numbers, of every row.

    Args:
        task: the run's task.
        split: the scored rows.
        rows: the same as token ids.
    """

    def __init__(self, task: Task, split: Split, rows: TokenRows) -> None:
        self.split, self.metric = split, task.primary
        self.found = Predictions(
            task=task.kind,
            labels=tuple(task.labels),
            targets=np.asarray(getattr(rows, "labels", ())),
        )

    def keeper(self, model: str, task: Task, rows: TokenRows) -> Seen | None:
        """See :meth:`Judge.keeper`."""
        del rows
        if task.kind == "multi_label":
            self.found.thresholds[model] = tuple(task.settings["thresholds"])
        return self.found.keeper(model)

    def of_model(self, model: str) -> dict[str, Any]:
        """Calibration, and the scores and thresholds of its labels."""
        return {
            "calibration": calibration(self.found, model),
            "label_scores": label_scores(self.found, model),
            "thresholds": dict(
                zip(self.found.labels, self.found.thresholds.get(model, ()), strict=False)
            ),
        }

    @property
    def rows(self) -> int:
        """See :meth:`Judge.rows`."""
        return len(self.split)

    def scorer(self, model: str) -> Scorer | None:
        """See :meth:`Judge.scorer`."""
        return row_scorer(self.found, model, self.metric)

    def majority(self, train: Split) -> Scorer | None:
        """The commonest label, every label that most rows have, or the mean of the numbers."""
        targets = train.targets
        if self.found.task == "classification":
            targets = targets[:, None] == np.arange(len(self.found.labels))
        share = targets.mean(axis=0, dtype=np.float32)  # (C,), or a number
        same = np.broadcast_to(share, (self.rows, max(1, len(self.found.labels))))
        constant = replace(self.found, outputs={MAJORITY: same}, thresholds={})
        return row_scorer(constant, MAJORITY, self.metric)

    @property
    def _final(self) -> str:
        return list(self.found.outputs)[-1]

    def of_final(self) -> dict[str, Any]:
        """Confusions, and disagreements with the teacher."""
        return {
            "confusion": confusion(self.found, self._final),
            "disagreement": disagreement(self.found, TEACHER, self._final),
        }

    def write(self, folder: Path) -> list[Path]:
        """See :meth:`Judge.write`."""
        final = self._final
        write_predictions(folder / predictions.FILE, self.found)
        rows = disagreeing_rows(self.found, TEACHER, final, most=MOST_ROWS)
        return [folder / predictions.FILE, write_disagreements(folder, final, rows, self._row)]

    def _row(self, row: int, roles: Mapping[str, str]) -> dict[str, Any]:
        answers = {}
        for role, name in roles.items():
            said, confidence = told_answer(self.found, name, row)
            answers[role] = {"said": said, "confidence": confidence}
        pairs = self.split.pairs
        return {
            "row": row,
            "text": self.split.texts[row],
            **({} if pairs is None else {"text_pair": pairs[row]}),
            "label": told_target(self.found, self.found.targets[row]),
            **answers,
        }
