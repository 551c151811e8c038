"""Any number of labels for a sentence or a pair of sentences.

Shapes: N examples, B of a batch, C labels.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MultilabelExactMatch,
    MultilabelF1Score,
    MultilabelPrecision,
    MultilabelRecall,
)

from distill.data.labels import Label, clean, index_labels
from distill.data.reader import Labels, Reader, Tables, TextReader
from distill.data.sources.columns import mapped
from distill.data.sources.table import Table
from distill.data.split import Split
from distill.system import distributed
from distill.system.errors import DataError
from distill.tasks.analysis import Analysis, Array, Flags, LabelledAnalysis
from distill.tasks.base import ProblemType, Task
from distill.tasks.multi_label.thresholds import USUAL, ThresholdScores, decided, thresholds_of
from distill.tasks.scorers import Combine, mean_f1, micro_f1, precision, recall
from distill.tasks.weights import positive_weights

#: Labels whose thresholds a log tells.
_TOLD = 8


class MultiLabelReader(TextReader):
    """Reads any number of labels for each text, as ascending indices."""

    several: ClassVar[bool] = True

    def label_issues(self, table: Table) -> dict[int, str]:
        cells = enumerate(self._cells(table))
        return {row: issue for row, issue in cells if isinstance(issue, str)}

    def labels(self, tables: Tables) -> Labels:
        raw = {role: self._cells(table) for role, table in tables.items()}
        train = tables["train"]
        if not any(raw["train"]):
            raise DataError(f"{train.place}: no example has a label in '{self.columns.label}'")
        return index_labels(self, tables, raw, unseen=True)

    def _cells(self, table: Table) -> Sequence[Any]:
        separator, column = self.columns.separator, self.columns.label
        values = table.column(column, "data.columns.label")
        return mapped(values, lambda value: _labels(value, separator, column))


def _labels(value: Any, separator: str | None, column: str) -> list[Label] | str:
    found: list[Label] = []
    cells = _split(value, separator, column)
    if isinstance(cells, str):
        return cells
    for cell in cells:
        try:
            label = clean(cell)
        except TypeError:
            label = None
        if label is None:
            return f"one of the labels is {cell!r}; a name or an integer is expected"
        found.append(label)
    return found


def _split(value: Any, separator: str | None, column: str) -> list[Any] | str:
    """The labels in a cell, or what is wrong with it; an empty cell of text has none."""
    if isinstance(value, np.ndarray | list | tuple):
        return list(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return f"the labels are missing in column '{column}'; write [] for none"
    if not isinstance(value, str):
        return [value]
    text = value.strip()
    if separator is not None:
        return [part for part in (piece.strip() for piece in text.split(separator)) if part]
    if not text.startswith("["):
        return [text] if text else []
    try:
        return list(json.loads(text))
    except json.JSONDecodeError as error:
        return (
            f"the labels are {text[:60]!r}, which is no JSON list ({error.msg}); write "
            '["a", "b"], or name data.columns.separator'
        )


class LabelsAnalysis(LabelledAnalysis):
    """Labels of which each is predicted or not."""

    share_right = "exact"
    combine: ClassVar[Mapping[str, Combine]] = {
        "micro_f1": micro_f1,
        "macro_f1": mean_f1,
        "precision": precision,
        "recall": recall,
    }

    def flags(self, labels: Array) -> Flags:
        return np.asarray(labels > 0)

    def common(self, train: Split) -> Array:
        """Every label that most examples have."""
        return np.asarray(train.targets.mean(axis=0, dtype=np.float32) > 0.5)

    def thresholds(self, model: str) -> dict[str, float]:
        return dict(zip(self.names, self.decoders[model].settings["thresholds"], strict=True))

    def arrays(self, model: str) -> dict[str, Array]:
        thresholds = np.array(list(self.thresholds(model).values()), dtype=np.float64)
        return {**super().arrays(model), "thresholds": thresholds}

    def confidence(self, model: str) -> tuple[npt.NDArray[np.float32], Flags]:
        return self.outputs[model].ravel(), self.targets.ravel() > 0

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        """Where a label's two probabilities are furthest apart."""
        apart = np.abs(self.outputs[model] - self.outputs[teacher]).max(axis=1)
        differ = (self.chosen(teacher) != self.chosen(model)).any(axis=1)
        return np.where(differ, apart, np.float32(-np.inf))


class MultiLabel(Task):
    r"""Labels that stand or fall by themselves: binary cross-entropy for each.

    A label is predicted where its probability :math:`\sigma(z)` is above its threshold.

    Metrics:

    - ``micro_f1``: F1 over all labels of all rows together;
    - ``macro_f1``: mean of the labels' F1;
    - ``precision``, ``recall``: over all labels of all rows together;
    - ``exact``: share of examples all of whose labels are right.

    Of ``thresholds: auto`` they are 0.5 until they are chosen for a model, but the metrics are
    those with the thresholds that are best on the rows they see.

    Raises:
        DataError: a threshold or a weight is of none of the labels.
    """

    kind: ClassVar[str] = "multi_label"
    reader: ClassVar[type[Reader]] = MultiLabelReader
    problem_type: ClassVar[ProblemType | None] = "multi_label_classification"
    analyses: ClassVar[type[Analysis] | None] = LabelsAnalysis

    def prepare(self, examples: Sequence[Any]) -> None:
        self.weights = positive_weights(self.config.positive_weights, self.labels, examples)
        thresholds = self.config.thresholds
        self.chooses, self.was_chosen = thresholds == "auto", False
        self.thresholds = self._thresholds(USUAL if thresholds == "auto" else thresholds)

    def _thresholds(self, given: float | Mapping[str, float]) -> tuple[float, ...]:
        if not isinstance(given, Mapping):
            return (float(given),) * len(self.labels)
        unknown = sorted(set(given) - set(self.labels))
        if unknown:
            raise DataError(
                f"task.thresholds: '{unknown[0]}' is no label; labels are {', '.join(self.labels)}"
            )
        return tuple(float(given.get(name, USUAL)) for name in self.labels)

    def chosen(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        return {"thresholds": list(thresholds_of(logits, labels))} if self.chooses else {}

    def settled(self, chosen: Mapping[str, Any]) -> Self:
        if not self.chooses or "thresholds" not in chosen:
            return self
        found = copy.copy(self)
        found.chooses, found.was_chosen = False, True
        found.thresholds = tuple(float(one) for one in chosen["thresholds"])
        return found

    def told_choice(self) -> str:
        if not self.was_chosen:
            return ""
        pairs = zip(self.labels[:_TOLD], self.thresholds, strict=False)
        more = f" and {len(self.labels) - _TOLD} more" if len(self.labels) > _TOLD else ""
        return f"thresholds {', '.join(f'{name} {bar:.2f}' for name, bar in pairs)}{more}"

    @property
    def settings(self) -> dict[str, Any]:
        return {"thresholds": list(self.thresholds)}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        r"""Binary cross-entropy of logits (B, C) and labels (B, C) of 0 and 1, mean over B x C.

        With weights w, of one label: :math:`-w_c y \log \sigma(z) - (1 - y) \log(1 - \sigma(z))`.
        """
        weights = None
        if self.weights is not None:
            weights = torch.tensor(self.weights, device=logits.device)  # (C,)
        found = F.binary_cross_entropy_with_logits(
            logits.float(), labels.float(), reduction="none", pos_weight=weights
        )
        return distributed.mean(found)

    @property
    def hard_loss(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        return self._comparable_loss if self.weights is not None else None

    def _comparable_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """:meth:`loss` of what :meth:`comparable` gives: (B * C, 2) and (B * C,)."""
        scores = (logits[:, 1] - logits[:, 0]).view(-1, self.num_outputs)  # (B, C)
        return self.loss(scores, labels.view(-1, self.num_outputs))

    def scores(self) -> dict[str, Metric]:
        return {"best": ThresholdScores(self._scores)} if self.chooses else self._scores()

    def _scores(self) -> dict[str, Metric]:
        # Predictions are 0 and 1 by then; the data were checked when they were read.
        count, quick = self.num_outputs, False
        return {
            "micro_f1": MultilabelF1Score(count, average="micro", validate_args=quick),
            "macro_f1": MultilabelF1Score(count, average="macro", validate_args=quick),
            "precision": MultilabelPrecision(count, average="micro", validate_args=quick),
            "recall": MultilabelRecall(count, average="micro", validate_args=quick),
            "exact": MultilabelExactMatch(count, validate_args=quick),
        }

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        if self.chooses:
            metrics.update(logits, batch["labels"])
            return
        metrics.update(self.decide(logits).float(), batch["labels"].long())

    def decide(self, logits: Tensor) -> Tensor:
        """1 where a label is predicted and 0 elsewhere, (B, C)."""
        return decided(logits, self.thresholds)

    def comparable(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        r"""(B * C, 2): each label as two outcomes, logits (0, z): their softmax is its sigmoid.

        The soft cross-entropy of these is the binary cross-entropy on the teacher's probabilities.
        """
        flat = logits.flatten()  # (B * C,)
        return torch.stack([torch.zeros_like(flat), flat], dim=-1)

    def comparable_labels(self, batch: Mapping[str, Any]) -> Tensor | None:
        """0 or 1 for each label of each row, (B * C,)."""
        labels = batch.get("labels")
        return None if labels is None else labels.flatten().long()


TASK = MultiLabel
