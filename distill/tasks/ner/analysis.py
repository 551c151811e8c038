"""Predicted entities of each text.

Legend: N texts that have tokens, M tokens with a label, of all texts one after the other; C tags,
T types of entities, B windows, L length.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split
from distill.data.tokenized import TokenExamples, bare_engine
from distill.tasks.analysis import Analysis, Array, Flags, Keep
from distill.tasks.decoder import softmax
from distill.tasks.ner.tokens import IGNORED, TaggedDataset, TaggedSplit
from distill.tasks.scorers import (
    Scorer,
    counts_scorer,
    mean_f1_of_seen,
    mean_scorer,
    micro_f1,
    precision,
    recall,
)
from distill.text.tags import Span
from distill.text.words import words_of

if TYPE_CHECKING:
    from distill.tasks.base import Task
    from distill.tasks.ner.task import Ner

logger = logging.getLogger("distill")

#: What is predicted in place of a true entity: none; or one that shares but some of its words.
NOTHING, OTHER_WORDS = "(nothing)", "(other words)"
#: What metrics make of the counts of entities.
COMBINE = {
    "precision": precision,
    "recall": recall,
    "f1": micro_f1,
    "macro_f1": mean_f1_of_seen,
    "lenient_f1": micro_f1,
}

Integers = npt.NDArray[np.int64]
Entities = list[set[Span]]


def entity_counts(pairs: Iterable[tuple[set[Span], set[Span]]], types: int) -> Integers:
    """The right, the predicted and the true entities of each type, (N, 3, T)."""
    counts = [
        [np.bincount([span.type for span in spans], minlength=types) for spans in which]
        for which in ((real & predicted, predicted, real) for real, predicted in pairs)
    ]
    return np.array(counts, dtype=np.int64).reshape(-1, 3, types)


class EntityAnalysis(Analysis):
    """The entities of each text."""

    def __init__(
        self,
        task: Ner,
        split: TaggedSplit,
        rows: TaggedDataset,
        tokenizer: PreTrainedTokenizerFast,
    ) -> None:
        super().__init__(task, split)
        self.tag_set, self.names = task.tag_set, tuple(task.tag_set.types)
        self.strict = bool(task.settings["strict"])
        self.targets = _labels(rows)  # (M,)
        self.row_of_token = np.repeat(rows.rows, np.diff(rows.word_starts))  # (M,)
        #: The numbers of the texts that have tokens, and where each begins among the tokens.
        self.numbers, self.begins = np.unique(self.row_of_token, return_index=True)
        self.true = self._read(self.targets)
        self._entities: dict[str, Entities] = {}
        self.engine = bare_engine(tokenizer)

    def __len__(self) -> int:
        return len(self.true)

    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        if not isinstance(rows, TaggedDataset) or not np.array_equal(_labels(rows), self.targets):
            logger.info("%s: reads other words than the student; its tags are not kept", model)
            return None
        kept = np.zeros((len(self.targets), len(self.task.labels)), dtype=np.float32)
        self.outputs[model] = kept
        firsts = rows.word_starts  # of each window the place of its first labelled token

        def keep(logits: npt.NDArray[np.float32], batch: Mapping[str, Any]) -> None:
            labelled = np.asarray(batch["labels"]) != IGNORED  # (B, L)
            for place, window in enumerate(np.asarray(batch["index"]).tolist()):
                own = logits[place][labelled[place]]
                kept[firsts[window] : firsts[window] + len(own)] = softmax(own)

        return keep

    def shared(self) -> dict[str, Array]:
        return {
            "labels": np.array(self.task.labels, dtype=np.str_),
            "targets": self.targets,
            "rows": self.row_of_token,
        }

    def _read(self, tags: Array) -> Entities:
        parts = np.split(tags, self.begins[1:])
        return [set(self.tag_set.read(part.tolist(), strict=self.strict)) for part in parts]

    def entities(self, model: str) -> Entities:
        """The entities that a model predicts for each text, by words."""
        if model not in self._entities:
            self._entities[model] = self._read(self.outputs[model].argmax(axis=-1))
        return self._entities[model]

    def _pairs(self, model: str) -> Iterator[tuple[set[Span], set[Span]]]:
        return zip(self.true, self.entities(model), strict=True)

    def right(self, model: str) -> Flags:
        return np.array([real == predicted for real, predicted in self._pairs(model)], dtype=bool)

    def confidence(self, model: str) -> tuple[npt.NDArray[np.float32], Flags]:
        outputs = self.outputs[model]
        return outputs.max(axis=-1), np.asarray(outputs.argmax(axis=-1) == self.targets)

    def counts(self, model: str) -> Integers:
        return entity_counts(self._pairs(model), len(self.names))

    def confusions(self, model: str) -> dict[str, dict[str, int]]:
        """What a model predicts for the words of a true entity, type by type.

        That is a type where it predicts an entity of the same words, :data:`OTHER_WORDS` where it
        predicts one that shares but some of them, else :data:`NOTHING`. Entities that it predicts
        where none is, not even in part, stand in the row :data:`NOTHING`.
        """
        rows: dict[str, Counter[str]] = defaultdict(Counter)
        for real, predicted in self._pairs(model):
            whole = {(span.start, span.end): self.names[span.type] for span in predicted}
            for span in real:
                other = OTHER_WORDS if any(_meet(span, one) for one in predicted) else NOTHING
                rows[self.names[span.type]][whole.get((span.start, span.end), other)] += 1
            for span in predicted:
                if not any(_meet(span, one) for one in real):
                    rows[NOTHING][self.names[span.type]] += 1
        columns = [*self.names, OTHER_WORDS, NOTHING]
        return {
            true: {column: rows[true][column] for column in columns if rows[true][column]}
            for true in (*self.names, NOTHING)
            if rows[true]
        }

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        """The surest word that the model tags otherwise."""
        theirs, own = self.outputs[teacher], self.outputs[model]
        other = theirs.argmax(axis=-1) != own.argmax(axis=-1)  # (M,)
        sure = np.maximum.reduceat(np.where(other, own.max(axis=-1), 0.0), self.begins)  # (N,)
        pairs = zip(self.entities(teacher), self.entities(model), strict=True)
        return np.where([one != another for one, another in pairs], sure, -np.inf)

    def row(self, index: int) -> int:
        return int(self.numbers[index])

    def target_in_words(self, index: int) -> str:
        return self._in_words(index, self.true[index])

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        entities = self.entities(model)[index]
        return {
            "prediction": self._in_words(index, entities),
            "confidence": None,
            "right": entities == self.true[index],
        }

    def _in_words(self, index: int, entities: set[Span]) -> str:
        text = self.split.texts[self.row(index)]
        words = words_of(self.engine.encode(text), text)
        ordered = sorted(entities, key=lambda span: span.start)
        parts = (
            f"{self.names[kind]}: {text[words.starts[start] : words.ends[end - 1]]}"
            for kind, start, end in ordered
        )
        return "; ".join(parts) or "none"

    def scorer(self, model: str) -> Scorer | None:
        metric = self.task.primary
        return counts_scorer(self.counts(model), COMBINE[metric]) if metric in COMBINE else None

    def majority(self, train: Split) -> Scorer | None:
        return mean_scorer(np.zeros(len(self)))


def _labels(rows: TaggedDataset) -> Integers:
    labels: Integers = np.asarray(rows.labels, dtype=np.int64)
    kept: Integers = labels[labels != IGNORED]
    return kept


def _meet(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end
