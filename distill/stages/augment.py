"""Augmentation: more training examples, made by replacing words.

Legend: N original rows, A augmented ones, C classes.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.data.augmentation.generate import (
    ROWS,
    AugmentedExample,
    AugmentedSplit,
    augment,
    read_rows,
    write_rows,
)
from distill.data.split import Split
from distill.data.tokenized import TokenExamples, tokenize
from distill.recipe.schema import AugmentStage, TeacherModel
from distill.stages.augmenter import find_candidates, method_of
from distill.stages.context import StageContext, StageResult
from distill.stages.ensemble import average_logits
from distill.training.devices import resolve_precision
from teachers.cache import cached_logits

logger = logging.getLogger("distill")

_EXAMPLES, _OF_EACH = 10, 2


@dataclass
class Tally:
    """Counts rows, made from a split's, on their way into a file, and keeps some to show."""

    split: Split
    #: The share of each text's words that are replaced.
    shares: array[float] = field(default_factory=lambda: array("d"))
    shown: dict[int, list[AugmentedExample]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spread = np.linspace(0, len(self.split) - 1, min(_EXAMPLES, len(self.split)))
        self.shown = {round(row): [] for row in spread.tolist()}

    def count(self, rows: Iterable[AugmentedExample]) -> Iterator[AugmentedExample]:
        for row in rows:
            self.shares.append(row.replaced / max(row.words, 1))
            yield row

    def show(self, rows: Iterable[AugmentedExample]) -> Iterator[AugmentedExample]:
        """The same rows, the first and the last of some originals kept to be shown."""
        for row in rows:
            kept = self.shown.get(row.row)
            if kept is not None:
                # The last takes the second's place: of a pair it is the other text that changed.
                kept[_OF_EACH - 1 :] = [row]
            yield row

    def replaced_share(self, kept: npt.NDArray[np.bool_] | None = None) -> float:
        """Mean share of a changed text's words that are replaced."""
        shares = np.array(self.shares)[slice(None) if kept is None else kept]  # (A,)
        return float(shares.mean()) if len(shares) else 0.0

    def examples(self) -> list[dict[str, Any]]:
        return [
            {**self._texts(row), "augmented": [_texts(new.text, new.pair) for new in made]}
            for row, made in sorted(self.shown.items())
        ]

    def _texts(self, row: int) -> dict[str, str]:
        pairs = self.split.pairs
        return _texts(self.split.texts[row], None if pairs is None else pairs[row])


def _texts(text: str, pair: str | None) -> dict[str, str]:
    return {"text": text} if pair is None else {"text": text, "text_pair": pair}


def augment_stage(config: AugmentStage, context: StageContext) -> StageResult:
    """Leave the augmented training examples in the stage's folder.

    What the model proposes for each word is kept in the cache a chunk at a time, so that a stage
    that was killed goes on there; the rows are made from that in seconds, always the same.

    Raises:
        UserError: the model or the word vectors cannot be used.
    """
    start = time.monotonic()
    split, labels = context.workspace.data.train, context.workspace.data.labels
    candidates, found = find_candidates(
        config, context.recipe, split, tokenizer=context.workspace.tokenizer
    )
    tally = Tally(split)
    made = tally.count(augment(split, candidates, method_of(config, context.recipe)))
    path = context.folder / ROWS
    kept = None
    if config.teacher_agreement is False:
        write_rows(path, tally.show(made), split, labels)
    else:
        every = context.folder / "every.jsonl.gz"
        write_rows(every, made, split, labels)
        kept = _agreed(config.teacher_agreement, context, every)
        agreed = (row for row in compress(read_rows(every), kept))
        write_rows(path, tally.show(agreed), split, labels)
        _remember(context, every, path, kept)
        every.unlink()
    facts = facts_of(found, tally, kept=kept, seconds=time.monotonic() - start)
    for note in facts["notes"]:
        logger.info("%s: %s", config.name, note)
    return StageResult(outputs=[path], facts=facts)


def _tokenized(
    context: StageContext, rows: AugmentedSplit, teacher: TeacherModel | None = None
) -> TokenExamples:
    tokenizer = context.workspace.tokenizer_of(teacher)
    return tokenize(rows, tokenizer, max_length=context.recipe.data.max_length)


def _logits(context: StageContext, rows: AugmentedSplit) -> Any:
    return average_logits(context, partial(_tokenized, context, rows))


def _agreed(wanted: bool | float, context: StageContext, path: Path) -> npt.NDArray[np.bool_]:
    """(A,): which rows get their original's label from the teacher, surely enough."""
    rows = AugmentedSplit(context.workspace.data.train, path)
    logits = np.asarray(_logits(context, rows), dtype=np.float64)  # (N + A, C)
    originals = len(rows.split)
    label = logits[:originals].argmax(axis=-1)[rows.origins]  # (A,)
    new = logits[originals:]
    agreed: npt.NDArray[np.bool_] = new.argmax(axis=-1) == label
    if wanted is not True:
        shares = np.exp(new - new.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        agreed &= shares[np.arange(len(new)), label] >= wanted
    return agreed


def _remember(context: StageContext, every: Path, path: Path, kept: npt.NDArray[np.bool_]) -> None:
    """Spare the stages after this one the teacher's pass over rows that it has just made."""
    train = context.workspace.data.train
    logits = _logits(context, AugmentedSplit(train, every))
    cached_logits(
        context.load_teacher(),
        _tokenized(context, AugmentedSplit(train, path)),
        precision=resolve_precision(context.recipe.trainer),
        known=logits[np.concatenate([np.ones(len(train), dtype=bool), kept])],
    )


def facts_of(
    found: dict[str, Any],
    tally: Tally,
    *,
    kept: npt.NDArray[np.bool_] | None = None,
    seconds: float,
) -> dict[str, Any]:
    """What is told of an augmentation; ``kept``: which rows passed the teacher, (A,)."""
    rows_in, made = len(tally.split), len(tally.shares)
    rows_out = made if kept is None else int(kept.sum())
    share = tally.replaced_share(kept)
    notes = [
        f"{rows_out:,} rows from {rows_in:,}, {share:.0%} of a changed text's words replaced",
        *found["notes"],
    ]
    if kept is not None:
        notes.append(f"{made - rows_out:,} of {made:,} dropped: the teacher labels them otherwise")
    return {
        "rows_in": rows_in,
        "rows_out": rows_out,
        "rows_dropped": made - rows_out,
        "replaced_share": round(share, 4),
        "words": found["words"],
        "augmentation_seconds": round(seconds, 3),
        "sentences_per_second": round(found["texts"] / max(seconds, 1e-9), 1),
        "examples": tally.examples(),
        "notes": notes,
    }
