"""What the evaluation keeps of named entities: the tags of every word."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split
from distill.data.tokenized import TokenRows
from distill.evaluation import predictions
from distill.evaluation.bootstrap import Scorer, mean_scorer
from distill.evaluation.mistakes import calibration
from distill.evaluation.predictions import write_predictions
from distill.evaluation.results import TEACHER
from distill.evaluation.score import Seen
from distill.evaluation.scorers import entity_scorer
from distill.evaluation.tags import EntityMistakes, tag_keeper, tag_predictions
from distill.stages.judge import MOST_ROWS, Judge, write_disagreements
from distill.tasks.base import Task
from distill.tasks.ner.tokens import TaggedDataset, TaggedSplit
from distill.text.tags import Span
from distill.text.words import words_of

logger = logging.getLogger("distill")


class TagJudge(Judge):
    """Keeps the probabilities of the tags of every word.

    Args:
        task: the run's task.
        split: the scored rows.
        rows: the same as windows of token ids.
        tokenizer: what made these of them.
    """

    def __init__(
        self,
        task: Task,
        split: TaggedSplit,
        rows: TaggedDataset,
        tokenizer: PreTrainedTokenizerFast,
    ) -> None:
        self.split, self.metric = split, task.primary
        self.found = tag_predictions(tuple(task.labels), rows)
        strict = bool(task.settings["strict"])
        self.mistakes = EntityMistakes(self.found, split.tag_set, strict=strict)
        # A copy: the tokenizer's own engine carries whatever limits its last caller set.
        self.engine: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self.engine.no_padding()
        self.engine.no_truncation()

    def keeper(self, model: str, task: Task, rows: TokenRows) -> Seen | None:
        """See :meth:`Judge.keeper`."""
        del task
        assert isinstance(rows, TaggedDataset)
        keep = tag_keeper(self.found, model, rows)
        if keep is None:
            logger.info("%s: reads other words than the student; its tags are not kept", model)
        return keep

    def of_model(self, model: str) -> dict[str, Any]:
        """Calibration over words, and the scores of the types of entities."""
        if model not in self.found.outputs:
            return {}
        return {
            "calibration": calibration(self.found, model),
            "label_scores": self.mistakes.scores(model),
        }

    @property
    def rows(self) -> int:
        """See :meth:`Judge.rows`: those that have tokens."""
        return len(self.mistakes.true)

    def scorer(self, model: str) -> Scorer | None:
        """See :meth:`Judge.scorer`."""
        if model not in self.found.outputs:
            return None
        return entity_scorer(self.mistakes.counts(model), self.metric)

    def majority(self, train: Split) -> Scorer | None:
        """No entity anywhere."""
        del train
        return mean_scorer(np.zeros(self.rows))

    @property
    def _final(self) -> str:
        return list(self.found.outputs)[-1]

    def of_final(self) -> dict[str, Any]:
        """What is found in the place of entities, and disagreements with the teacher."""
        if not self.found.outputs:
            return {}
        told: dict[str, Any] = {"confusion": self.mistakes.confusion(self._final)}
        if TEACHER in self.found.outputs:
            told["disagreement"] = self.mistakes.disagreement(TEACHER, self._final)
        return told

    def write(self, folder: Path) -> list[Path]:
        """See :meth:`Judge.write`."""
        if not self.found.outputs:
            return []
        final = self._final
        write_predictions(folder / predictions.FILE, self.found)
        if TEACHER not in self.found.outputs:
            return [folder / predictions.FILE]
        places = self.mistakes.disagreeing(TEACHER, final, most=MOST_ROWS)
        return [folder / predictions.FILE, write_disagreements(folder, final, places, self._row)]

    def _row(self, place: int, roles: Mapping[str, str]) -> dict[str, Any]:
        row = int(self.mistakes.rows[place])
        text = self.split.texts[row]
        found = words_of(self.engine.encode(text), text)

        def told(entities: set[Span]) -> str:
            return "; ".join(
                f"{self.split.tag_set.types[kind]}: "
                f"{text[found.starts[start] : found.ends[end - 1]]}"
                for kind, start, end in sorted(entities, key=lambda span: span.start)
            ) or "none"  # fmt: skip

        answers = {
            role: {
                "said": told(self.mistakes.said(name)[place]),
                "confidence": None,
                "right": self.mistakes.said(name)[place] == self.mistakes.true[place],
            }
            for role, name in roles.items()
        }
        return {"row": row, "text": text, "label": told(self.mistakes.true[place]), **answers}
