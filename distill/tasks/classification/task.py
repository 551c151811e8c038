"""One label for a sentence or a pair of sentences.

Shapes: N examples, B of a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryF1Score,
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)

from distill.data.labels import clean, index_labels, label_issues
from distill.data.reader import Labels, Reader, Tables, TextReader
from distill.data.sources.columns import mapped
from distill.data.sources.table import Table
from distill.data.split import Split
from distill.system import distributed
from distill.system.errors import DataError
from distill.tasks.analysis import Analysis, Array, Flags, LabelledAnalysis
from distill.tasks.base import ProblemType, Task
from distill.tasks.scorers import Combine, Floats, matthews, mean_f1_of_seen, micro_f1
from distill.tasks.weights import class_weights


class LabelReader(TextReader):
    """Reads one label for each text, as its index."""

    def label_issues(self, table: Table) -> dict[int, str]:
        return label_issues(table, self.columns.label, known=self.known)

    def labels(self, tables: Tables) -> Labels:
        raw = {
            role: mapped(table.columns[self.columns.label], lambda value: [clean(value)])
            for role, table in tables.items()
        }
        # Labels that the recipe or the data name may stand in validation alone: that was declared.
        declared = self.known is not None or tables["train"].label_names is not None
        return index_labels(self, tables, raw, unseen=declared)


def _second_f1(correct: Floats, predicted: Floats, true: Floats) -> Floats:
    return micro_f1(correct[:, 1:2], predicted[:, 1:2], true[:, 1:2])


class LabelAnalysis(LabelledAnalysis):
    """One label for each example."""

    share_right = "accuracy"
    combine: ClassVar[Mapping[str, Combine]] = {
        "f1": _second_f1,
        "macro_f1": mean_f1_of_seen,
        "mcc": matthews,
    }

    def flags(self, labels: Array) -> Flags:
        return np.asarray(labels[:, None] == np.arange(len(self.names)))

    def common(self, train: Split) -> Array:
        return np.asarray(np.bincount(train.targets, minlength=len(self.names)).argmax())

    def _sure(self, model: str) -> npt.NDArray[np.float32]:
        chosen = self.chosen(model)[:, None]
        sure: npt.NDArray[np.float32] = np.take_along_axis(self.outputs[model], chosen, axis=1)
        return sure[:, 0]

    def confidence(self, model: str) -> tuple[npt.NDArray[np.float32], Flags]:
        return self._sure(model), self.right(model)

    def confusions(self, model: str) -> dict[str, dict[str, int]]:
        count = len(self.names)
        pairs = np.asarray(self.targets, dtype=np.int64) * count + self.chosen(model)
        matrix = np.bincount(pairs, minlength=count * count).reshape(count, count)
        rows = {
            true: {self.names[k]: int(n) for k, n in enumerate(matrix[at]) if n}
            for at, true in enumerate(self.names)
        }
        return {true: row for true, row in rows.items() if row}

    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        return np.where(
            self.chosen(teacher) != self.chosen(model), self._sure(model), np.float32(-np.inf)
        )

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        words = super().prediction(model, index)
        outputs = self.outputs[model][index]
        return {**words, "confidence": float(outputs[self.names.index(words["prediction"])])}


class SecondLabelF1(BinaryF1Score):
    r"""F1 of the second of two labels, :math:`2PR/(P+R)`, taken from logits of shape (B, 2)."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.argmax(dim=-1), target)  # (B,)


class Matthews(MulticlassConfusionMatrix):
    r"""Matthews correlation coefficient, 0 where it is not defined, as in scikit-learn.

    With :math:`c` of :math:`s` rows right, and :math:`t_k` rows of label k of which :math:`p_k` are
    predicted,

    .. math:: \frac{c s - \sum_k p_k t_k}{\sqrt{(s^2 - \sum_k p_k^2)(s^2 - \sum_k t_k^2)}}.

    It is not defined where all rows, or all predictions, have one label. torchmetrics gives two
    labels a number of its own there, up to .995 for a model that always predicts the common one.

    Reference:
        Gorodkin 2004, Comparing two K-category assignments by a K-category correlation coefficient.
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        counts = self.confmat.cpu().double()  # (C, C)
        true, predicted, rows = counts.sum(1), counts.sum(0), counts.sum()
        divisor = (rows**2 - predicted @ predicted) * (rows**2 - true @ true)
        if divisor <= 0:
            return divisor.new_zeros(())
        return (counts.trace() * rows - predicted @ true) / divisor.sqrt()


class Classification(Task):
    """Single-label classification by cross-entropy.

    Metrics:

    - ``accuracy``: share of rows whose highest logit is the label's;
    - ``macro_f1``: mean of the labels' F1, over those that stand in the data or the predictions;
    - ``mcc``: Matthews correlation coefficient (GLUE's CoLA);
    - ``f1``: F1 of the second label (GLUE's MRPC and QQP); two labels only.

    What is not defined is 0: ``mcc`` where one label is all there is, F1 of a label without rows
    and predictions.

    Raises:
        DataError: ``f1`` is asked for and there are more than two labels, or a weight is of none.
    """

    kind: ClassVar[str] = "classification"
    reader: ClassVar[type[Reader]] = LabelReader
    problem_type: ClassVar[ProblemType | None] = "single_label_classification"
    analyses: ClassVar[type[Analysis] | None] = LabelAnalysis

    def prepare(self, examples: Sequence[Any]) -> None:
        self.weights = class_weights(self.config.class_weights, self.labels, examples)
        self.smoothing: float = self.config.label_smoothing
        if self.primary == "f1" and len(self.labels) != 2:
            raise DataError(
                f"task.metric: 'f1' needs two labels, these data have {len(self.labels)}; "
                "write macro_f1, accuracy or mcc"
            )

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        r"""Cross-entropy in fp32, weighted and smoothed where asked.

        Of a row with label y, probabilities p, weights w and smoothing s:
        :math:`-w_y ((1 - s) \log p_y + \frac{s}{C} \sum_c \log p_c)`. The mean is over the rows,
        not over their weights, so that batches add up whatever labels they have.

        Reference:
            Szegedy et al. 2016, Rethinking the Inception Architecture, section 7 (smoothing).
        """
        rows = F.cross_entropy(
            logits.float(), labels, reduction="none", label_smoothing=self.smoothing
        )  # (B,)
        if self.weights is not None:
            rows = rows * torch.tensor(self.weights, device=rows.device)[labels]
        return distributed.mean(rows)

    @property
    def hard_loss(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        return self.loss if self.weights is not None or self.smoothing else None

    def scores(self) -> dict[str, Metric]:
        classes = self.num_outputs
        # Labels were checked when the data were read; torchmetrics' own checks wait for the GPU.
        found: dict[str, Metric] = {
            "accuracy": MulticlassAccuracy(classes, average="micro", validate_args=False),
            "macro_f1": MulticlassF1Score(classes, average="macro", validate_args=False),
            "mcc": Matthews(classes, validate_args=False),
        }
        if classes == 2:
            found["f1"] = SecondLabelF1(validate_args=False)
        return found


TASK = Classification
