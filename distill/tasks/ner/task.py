"""Named entities: a tag for each word, and with it the parts of a text that are entities.

Legend: B windows, L length, C tags, M tokens that have a label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
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
from distill.tasks.ner.entities import EntityScores
from distill.tasks.ner.floor import TagFloor
from distill.tasks.ner.tokens import TaggedDataset, TaggedSplit
from distill.text.tags import TagSet

_IGNORED = -100


class Ner(Task):
    """Tags of tokens by cross-entropy, scored as entities.

    Metrics are those of :class:`~distill.tasks.ner.entities.EntityScores`. With ``lenient_f1`` the
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
        kept = labels != _IGNORED  # (B, L)
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
        """Empty :class:`~distill.tasks.ner.entities.EntityScores`; see :meth:`Task.metrics`."""
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
        return logits[batch["labels"] != _IGNORED]

    def comparable_labels(self, batch: Mapping[str, Any]) -> Tensor | None:
        """The labels of those tokens, (M,)."""
        labels = batch.get("labels")
        return labels[labels != _IGNORED] if isinstance(labels, torch.Tensor) else None


TASK = Ner
