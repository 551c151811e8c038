"""What the evaluation keeps of every row, and what it makes of that.

:func:`distill.stages.judges.make_judge` gives the judge of a task's kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distill import atomic
from distill.data.split import Split
from distill.data.tokenized import TokenRows
from distill.evaluation.bootstrap import Scorer
from distill.evaluation.results import TEACHER
from distill.evaluation.score import Seen
from distill.tasks.base import Task

#: Rows on which teacher and student differ, with their texts, in the stage's folder.
DISAGREEMENTS = "disagreements.json"
#: So many of them, at most.
MOST_ROWS = 20


class Judge:
    """Keeps what models say of the scored rows; this one, of tasks it knows nothing of, nothing."""

    def keeper(self, model: str, task: Task, rows: TokenRows) -> Seen | None:
        """What takes a model's logits while it is scored; ``None`` where none are kept.

        Args:
            model: its name.
            task: the task with what was chosen for this model.
            rows: the rows as this model reads them.
        """
        del model, task, rows
        return None

    def of_model(self, model: str) -> dict[str, Any]:
        """What is told of each model; of one that was not kept nothing."""
        del model
        return {}

    def scorer(self, model: str) -> Scorer | None:
        """What computes the model's score on draws of the scored rows; ``None`` without one."""
        del model
        return None

    def majority(self, train: Split) -> Scorer | None:
        """The same of the commonest label of the training rows, or what stands for it."""
        del train
        return None

    @property
    def rows(self) -> int:
        """How many scored rows the scorers draw from."""
        return 0

    def of_final(self) -> dict[str, Any]:
        """What is told of the final model alone, the one that was scored last."""
        return {}

    def write(self, folder: Path) -> list[Path]:
        """Keep what was said, and the rows on which teacher and final model differ."""
        del folder
        return []


def write_disagreements(
    folder: Path,
    model: str,
    rows: Sequence[int],
    tell: Callable[[int, Mapping[str, str]], dict[str, Any]],
) -> Path:
    """Write rows on which teacher and final model differ.

    Args:
        folder: the stage's.
        model: the final model.
        rows: which.
        tell: what is told of one, given the models by their roles: ``teacher`` and ``model``.
    """
    roles = {"teacher": TEACHER, "model": model}
    content = {"schema": 1, "model": model, "rows": [tell(row, roles) for row in rows]}
    atomic.write_json(folder / DISAGREEMENTS, content)
    return folder / DISAGREEMENTS
