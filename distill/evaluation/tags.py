"""What models said of every word of tagged rows, and how they go wrong with entities.

Legend: M tokens with a label, of all rows one after the other; C tags, B windows, L length.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.evaluation.parts import Confusion, Disagreement, LabelScore
from distill.evaluation.predictions import Predictions, Values, as_outputs
from distill.tasks.ner.tokens import IGNORED, TaggedDataset
from distill.text.tags import Span, TagSet

#: What is said in the place of a real entity: none; or one that shares but some of its words.
NOTHING, OTHER_WORDS = "(nothing)", "(other words)"

Integers = npt.NDArray[np.int64]
#: The entities of each row, by the row's place among those that have tokens.
_Read = list[set[Span]]


def tag_predictions(labels: tuple[str, ...], rows: TaggedDataset) -> Predictions:
    """Predictions of tags, without any model's yet.

    Args:
        labels: the tags in the order of the outputs.
        rows: the scored rows as windows of tokens.
    """
    true = np.asarray(rows.labels)
    return Predictions(
        task="ner",
        labels=labels,
        targets=true[true != IGNORED].astype(np.int64),
        rows=np.repeat(rows.rows, _counts(rows)),
    )


def _counts(rows: TaggedDataset) -> Integers:
    """How many tokens of each window have a label."""
    behind = np.cumsum(np.concatenate([[0], np.asarray(rows.labels) != IGNORED]))
    ends = np.cumsum(rows.lengths, dtype=np.int64)
    found: Integers = behind[ends] - behind[ends - rows.lengths]
    return found


def tag_keeper(
    found: Predictions, model: str, rows: TaggedDataset
) -> Callable[[Values, Mapping[str, Any]], None] | None:
    """A function that takes a model's logits (B, L, C) batch by batch, as scoring meets them.

    Args:
        found: where they are kept.
        model: its name.
        rows: the rows as this model reads them.

    Returns:
        ``None`` where it reads other words than those of ``found``.
    """
    if not np.array_equal(tag_predictions(found.labels, rows).targets, found.targets):
        return None
    kept = np.zeros((len(found.targets), len(found.labels)), dtype=np.float32)
    found.outputs[model] = kept
    counts = _counts(rows)
    firsts = np.cumsum(counts) - counts  # of each window the place of its first labelled token

    def keep(logits: Values, batch: Mapping[str, Any]) -> None:
        labelled = np.asarray(batch["labels"]) != IGNORED  # (B, L)
        for place, window in enumerate(np.asarray(batch["index"]).tolist()):
            own = logits[place][labelled[place]]
            kept[firsts[window] : firsts[window] + len(own)] = as_outputs(own, found.task)

    return keep


class EntityMistakes:
    """How models go wrong with entities.

    Args:
        found: what they said of every token.
        tag_set: the tags.
        strict: whether illegal sequences of tags are left out, as the task's runtime does.
    """

    def __init__(self, found: Predictions, tag_set: TagSet, *, strict: bool) -> None:
        self.found, self.tag_set, self.strict = found, tag_set, strict
        assert found.rows is not None
        #: The numbers of the rows that have tokens, and where each begins among the tokens.
        self.rows, self.begins = np.unique(found.rows, return_index=True)
        self._kept: dict[str, _Read] = {}
        self.true = self._read(found.targets)

    def _read(self, tags: npt.NDArray[Any]) -> _Read:
        parts = np.split(tags, self.begins[1:])
        return [set(self.tag_set.read(part.tolist(), strict=self.strict)) for part in parts]

    def said(self, model: str) -> _Read:
        """The entities that a model finds in each row, by words."""
        if model not in self._kept:
            self._kept[model] = self._read(self.found.decided(model))
        return self._kept[model]

    def _pairs(self, model: str) -> Iterator[tuple[set[Span], set[Span]]]:
        return zip(self.true, self.said(model), strict=True)

    def counts(self, model: str) -> Integers:
        """Right, found and real entities of each row with tokens, by type, (N, 3, T)."""
        counts = np.zeros((len(self.true), 3, len(self.tag_set.types)), dtype=np.int64)
        for row, (real, said) in enumerate(self._pairs(model)):
            for which, spans in enumerate((real & said, said, real)):
                for span in spans:
                    counts[row, which, span.type] += 1
        return counts

    def scores(self, model: str) -> dict[str, LabelScore]:
        """Precision, recall, F1 and support of every type of entity."""
        right, found, true = self.counts(model).sum(axis=0).tolist()
        return {
            name: LabelScore(
                precision=right[k] / found[k] if found[k] else 0.0,
                recall=right[k] / true[k] if true[k] else 0.0,
                f1=2 * right[k] / (found[k] + true[k]) if found[k] + true[k] else 0.0,
                support=true[k],
            )
            for k, name in enumerate(self.tag_set.types)
        }

    def confusion(self, model: str) -> Confusion:
        """What a model says of the words of a real entity, type by type.

        That is a type where it finds an entity of the same words, :data:`OTHER_WORDS` where it
        finds one that shares but some of them, else :data:`NOTHING`. Entities that it finds where
        none is, not even in part, stand in the row :data:`NOTHING`.
        """
        rows: dict[str, Counter[str]] = defaultdict(Counter)
        names = self.tag_set.types
        for real, said in self._pairs(model):
            whole = {(span.start, span.end): names[span.type] for span in said}
            for span in real:
                other = OTHER_WORDS if any(_meet(span, one) for one in said) else NOTHING
                rows[names[span.type]][whole.get((span.start, span.end), other)] += 1
            for span in said:
                if not any(_meet(span, one) for one in real):
                    rows[NOTHING][names[span.type]] += 1
        order = [*names, NOTHING]
        columns = [*names, OTHER_WORDS, NOTHING]
        return Confusion(
            model=model,
            rows={
                true: {said: rows[true][said] for said in columns if rows[true][said]}
                for true in order
                if rows[true]
            },
        )

    def disagreement(self, teacher: str, model: str) -> Disagreement:
        """In how many rows a model and its teacher find other entities, and who is right then."""
        theirs, own = self.said(teacher), self.said(model)
        differ = [place for place in range(len(self.true)) if theirs[place] != own[place]]
        teacher_right = sum(theirs[place] == self.true[place] for place in differ)
        model_right = sum(own[place] == self.true[place] for place in differ)
        return Disagreement(
            model=model,
            rows=len(differ),
            share=len(differ) / len(self.true),
            teacher_right=teacher_right,
            model_right=model_right,
            neither_right=len(differ) - teacher_right - model_right,
        )

    def disagreeing(self, teacher: str, model: str, *, most: int) -> list[int]:
        """Places of rows in which both find other entities, the model's surest first.

        How sure it is of a row is the greatest probability among the words that it tags otherwise.
        """
        theirs, own = self.said(teacher), self.said(model)
        other = self.found.decided(teacher) != self.found.decided(model)  # (M,)
        sure = np.where(other, self.found.outputs[model].max(axis=-1), 0.0)
        weight = np.maximum.reduceat(sure, self.begins)
        order: list[int] = np.argsort(-weight, kind="stable").tolist()
        return [place for place in order if theirs[place] != own[place]][:most]


def _meet(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end
