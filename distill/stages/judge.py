"""What the evaluation keeps of every row, and what it makes of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distill import atomic
from distill.data.split import Split
from distill.data.tokenized import TokenRows
from distill.evaluation import predictions
from distill.evaluation.mistakes import (
    calibration,
    confusion,
    disagreeing_rows,
    disagreement,
    label_scores,
    told_answer,
    told_target,
)
from distill.evaluation.predictions import Predictions, Values, write_predictions
from distill.evaluation.results import TEACHER
from distill.tasks import Task

#: Rows on which teacher and student differ, with their texts, in the stage's folder.
DISAGREEMENTS = "disagreements.json"
_MOST_ROWS = 20


class Judge:
    """Keeps what models say of the scored rows; of a task without a row of outputs, nothing.

    Args:
        task: the run's task.
        split: the scored rows.
        rows: the same as token ids.
    """

    def __init__(self, task: Task, split: Split, rows: TokenRows) -> None:
        self.split = split
        self.active = task.kind in predictions.KINDS
        self.found = Predictions(
            task=task.kind,
            labels=tuple(task.labels),
            targets=np.asarray(getattr(rows, "labels", ())),
        )

    def keeper(self, model: str, task: Task) -> Callable[[Values, Mapping[str, Any]], None] | None:
        """What takes a model's logits while it is scored; ``None`` where none are kept.

        Args:
            model: its name.
            task: the task with what was chosen for this model.
        """
        if not self.active:
            return None
        if task.kind == "multi_label":
            self.found.thresholds[model] = tuple(task.settings["thresholds"])
        return self.found.keeper(model)

    def of_model(self, model: str) -> dict[str, Any]:
        """What is told of each model."""
        if not self.active:
            return {}
        return {
            "calibration": calibration(self.found, model),
            "label_scores": label_scores(self.found, model),
            "thresholds": dict(
                zip(self.found.labels, self.found.thresholds.get(model, ()), strict=False)
            ),
        }

    @property
    def _final(self) -> str:
        """The model that was scored last, which is the run's final one."""
        return list(self.found.outputs)[-1]

    def of_final(self) -> dict[str, Any]:
        """What is told of the final model alone."""
        if not self.active:
            return {}
        return {
            "confusion": confusion(self.found, self._final),
            "disagreement": disagreement(self.found, TEACHER, self._final),
        }

    def write(self, folder: Path) -> list[Path]:
        """Keep what was said, and the rows on which teacher and final model differ."""
        if not self.active:
            return []
        final = self._final
        write_predictions(folder / predictions.FILE, self.found)
        rows = disagreeing_rows(self.found, TEACHER, final, most=_MOST_ROWS)
        content = {"schema": 1, "model": final, "rows": [self._row(row, final) for row in rows]}
        atomic.write_json(folder / DISAGREEMENTS, content)
        return [folder / predictions.FILE, folder / DISAGREEMENTS]

    def _row(self, row: int, final: str) -> dict[str, Any]:
        answers = {}
        for role, name in (("teacher", TEACHER), ("model", final)):
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
