"""Named entities: a tag for each word, and with it the parts of a text that are entities.

Legend: B windows, L length, C tags, T types of entities, M tokens that have a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from transformers import PreTrainedTokenizerFast

from distill.data.reader import Reader
from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system import distributed
from distill.system.errors import DataError, ModelError
from distill.tasks.base import Task
from distill.tasks.floors import Floor
from distill.tasks.ner.analysis import EntityAnalysis
from distill.tasks.ner.characters import by_characters, cut_alike
from distill.tasks.ner.data import TagReader
from distill.tasks.ner.floor import TagFloor
from distill.tasks.ner.tokens import IGNORED, TaggedDataset, TaggedSplit
from distill.text.tags import TagSet

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
        kept = true != IGNORED  # (B, L)
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


class Ner(Task):
    """Tags of tokens by cross-entropy, scored as entities.

    Metrics are those of :class:`EntityScores`. With ``lenient_f1`` the
    runtime too reads illegal sequences of tags as ``conlleval`` does.

    Raises:
        DataError: the labels are not those of the scheme.
    """

    kind: ClassVar[str] = "ner"
    reader: ClassVar[type[Reader]] = TagReader
    head: ClassVar[str] = "tokens"

    def __init__(
        self, labels: Sequence[str], examples: Sequence[Any] = (), **settings: Any
    ) -> None:
        super().__init__(labels, **settings)
        try:
            self.tag_set = TagSet(labels, self.config.scheme)
        except ValueError as error:
            raise DataError(f"task.labels: {error}") from None

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        """See :meth:`Task.of_model`: the scheme of the tags."""
        scheme = "bioes" if any(label[:2] in ("E-", "S-") for label in labels) else "bio"
        try:
            return list(labels), cls(labels, scheme=scheme).settings
        except (DataError, KeyError) as error:
            raise ModelError(f"its labels are no tags of entities ({error})") from error

    @property
    def settings(self) -> dict[str, Any]:
        """The scheme, how illegal tags are read, and the stride."""
        strict = self.primary != "lenient_f1"
        return {"scheme": self.tag_set.scheme, "strict": strict, "stride": self.config.stride}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy over the labelled tokens of logits (B, L, C) and labels (B, L)."""
        kept = labels != IGNORED  # (B, L)
        return distributed.mean(
            F.cross_entropy(logits[kept].float(), labels[kept], reduction="none")
        )

    def floor(self, data: TaskData) -> Floor | None:
        """Every word's most frequent tag; see :meth:`Task.floor`."""
        return TagFloor(data.train) if isinstance(data.train, TaggedSplit) else None

    def analysis(
        self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast
    ) -> EntityAnalysis | None:
        if not isinstance(split, TaggedSplit) or not isinstance(rows, TaggedDataset):
            return None
        return EntityAnalysis(self, split, rows, tokenizer)

    def metrics(self) -> MetricCollection:
        """Empty :class:`EntityScores`; see :meth:`Task.metrics`."""
        return MetricCollection({"entities": EntityScores(self.tag_set)}, compute_groups=False)

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        """Count a batch of logits (B, L, C)."""
        windows = (batch["row"], batch["index"], batch["alone"])
        metrics.update(self.decide(logits), batch["labels"], *windows)

    def carried(
        self, logits: npt.NDArray[np.float32], theirs: TokenExamples, ours: TokenExamples
    ) -> npt.NDArray[np.float32]:
        """See :meth:`Task.carried` and :func:`by_characters`."""
        if not (isinstance(theirs, TaggedDataset) and isinstance(ours, TaggedDataset)):
            return super().carried(logits, theirs, ours)
        if cut_alike(theirs, ours):
            return logits
        return by_characters(logits, theirs, ours, tag_set=self.tag_set)

    def comparable(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """The logits of the tokens that have a label, (M, C)."""
        return logits[batch["labels"] != IGNORED]

    def comparable_labels(self, batch: Mapping[str, Any]) -> Tensor | None:
        """The labels of those tokens, (M,)."""
        labels = batch.get("labels")
        return labels[labels != IGNORED] if isinstance(labels, torch.Tensor) else None


TASK = Ner
