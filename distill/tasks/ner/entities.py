"""Scores of named entities: those found that are right to the character, and of the right type.

Legend: B rows or windows, L length, T types of entities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics import Metric

from distill.text.tags import TagSet

_IGNORED = -100
_STRICT, _LENIENT = 0, 1
_RIGHT, _FOUND, _TRUE = 0, 1, 2


class EntityScores(Metric):
    r"""Precision, recall and F1 of entities, in all and by type.

    An entity is right if its first word, its last word and its type are. With ``tp`` right ones of
    ``found`` predicted and ``true`` real ones,

    .. math:: P = tp / found, \quad R = tp / true, \quad F_1 = 2 tp / (found + true),

    and 0 where the divisor is 0. ``precision``, ``recall`` and ``f1`` count the entities of all
    types together (micro); ``macro_f1`` is the mean over the types that stand in the data or the
    predictions; ``f1_TYPE`` and so on are of one type. ``lenient_f1`` is ``f1`` with illegal
    predictions read as ``conlleval`` does; all others leave them out.

    The counts are sums over rows; only rows in several windows are kept until the end, since an
    entity may begin in one window and end in another.

    Args:
        tag_set: the tags.

    Reference:
        ``seqeval`` with ``mode="strict"`` gives the same numbers, and ``lenient_f1`` without.
    """

    full_state_update = False
    higher_is_better = True
    counts: Tensor
    parts: list[Tensor]

    def __init__(self, tag_set: TagSet, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tag_set = tag_set
        shape = (2, 3, len(tag_set.types))  # strict and lenient; right, found, true; T
        self.add_state("counts", torch.zeros(shape, dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("parts", [], dist_reduce_fx="cat")

    def update(
        self, tags: Tensor, labels: Tensor, row: Tensor, index: Tensor, alone: Tensor
    ) -> None:
        """Count a batch.

        Args:
            tags: predicted tags, (B, L).
            labels: true tags, (B, L); -100 where a token is not read.
            row: the number of the row of each window, (B,).
            index: the number of each window, (B,), ascending within a row.
            alone: whether a window is all of its row, (B,).
        """
        found, true = tags.cpu().numpy(), labels.cpu().numpy()
        counts = np.zeros(tuple(self.counts.shape), dtype=np.int64)
        parts: list[npt.NDArray[np.int64]] = []
        kept = true != _IGNORED  # (B, L)
        for place, whole in enumerate(alone.tolist()):
            pair = found[place][kept[place]], true[place][kept[place]]
            if whole:
                self._count(counts, *pair)
            else:
                numbers = [np.full(len(pair[0]), int(which[place])) for which in (row, index)]
                parts.append(np.stack([*numbers, *pair], axis=1).astype(np.int64))  # (words, 4)
        if parts or not self.parts:
            # Flat and never missing: processes exchange what is alike in kind.
            flat = np.concatenate([part.reshape(-1) for part in parts] or [np.zeros(0, np.int64)])
            self.parts.append(torch.from_numpy(flat).to(self.counts.device))
        self.counts += torch.from_numpy(counts).to(self.counts.device)

    def _count(
        self,
        counts: npt.NDArray[np.int64],
        found: npt.NDArray[np.int64],
        true: npt.NDArray[np.int64],
    ) -> None:
        """Add a row's entities to the counts (2, 3, T)."""
        outside = self.tag_set.outside
        if (found == outside).all() and (true == outside).all():
            return
        real = set(self.tag_set.read(true.tolist()))
        tags = found.tolist()
        for reading in (_STRICT, _LENIENT):
            spans = set(self.tag_set.read(tags, strict=reading == _STRICT))
            for which, these in ((_RIGHT, spans & real), (_FOUND, spans), (_TRUE, real)):
                for span in these:
                    counts[reading, which, span.type] += 1

    def compute(self) -> dict[str, Tensor]:
        """All scores by name, each between 0 and 1."""
        counts = self.counts.cpu().numpy().copy()
        self._count_parts(counts)
        right, found, true = counts[_STRICT]  # (T,) each
        scores = _scores(right.sum(), found.sum(), true.sum())
        there = found + true > 0
        by_type = [_scores(*numbers) for numbers in counts[_STRICT].T]
        f1 = [one["f1"] for one, known in zip(by_type, there, strict=True) if known]
        scores["macro_f1"] = float(np.mean(f1)) if f1 else 0.0
        scores["lenient_f1"] = _scores(*counts[_LENIENT].sum(axis=1))["f1"]
        for kind, one in zip(self.tag_set.types, by_type, strict=True):
            scores |= {f"{name}_{kind}": value for name, value in one.items()}
        return {name: torch.tensor(value) for name, value in scores.items()}

    def _count_parts(self, counts: npt.NDArray[np.int64]) -> None:
        """Add the rows that are in several windows, each put together again."""
        # A list before several processes exchange their parts, and one tensor after.
        parts = self.parts if isinstance(self.parts, list) else [self.parts]
        words = torch.cat([torch.zeros(0, dtype=torch.int64), *(part.cpu() for part in parts)])
        if not words.numel():
            return
        table = words.numpy().reshape(-1, 4)  # row, window, found, true
        # Stable: the words of a window stay in their order.
        ordered = table[np.lexsort((table[:, 1], table[:, 0]))]
        cuts = np.flatnonzero(np.diff(ordered[:, 0])) + 1
        for row in np.split(ordered, cuts):
            self._count(counts, row[:, 2], row[:, 3])


def _scores(right: Any, found: Any, true: Any) -> dict[str, float]:
    """Precision, recall and F1 of counts."""
    return {
        "precision": float(right / found) if found else 0.0,
        "recall": float(right / true) if true else 0.0,
        "f1": float(2 * right / (found + true)) if found + true else 0.0,
    }
