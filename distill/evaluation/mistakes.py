"""How models go wrong, from what they said of every row.

Legend: N rows, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_calibration_error,
)

from distill.evaluation.parts import Bin, Calibration, Confusion, Disagreement, LabelScore
from distill.evaluation.predictions import Predictions, Values

#: Bins of equal width, as is usual since Guo et al. 2017, On calibration of modern neural networks.
BINS = 15
Integers = npt.NDArray[np.int64]


def calibration(found: Predictions, model: str) -> Calibration | None:
    r"""How far a model's confidence is from how often it is right.

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{N} |\mathrm{acc}_b - \mathrm{conf}_b|

    The confidence is the probability of the label that was chosen; of a task with several labels
    each label of each row counts by itself, with its probability and whether it is there, and of
    named entities each word with its tag.

    Returns:
        ``None`` of a task without probabilities.
    """
    outputs = found.outputs[model]
    if found.task == "regression":
        return None
    if found.task == "multi_label":
        return calibration_of(outputs.ravel(), found.targets.ravel() > 0)
    confidence = outputs.max(axis=-1)
    right = outputs.argmax(axis=-1) == found.targets
    error = multiclass_calibration_error(
        torch.from_numpy(outputs),
        torch.from_numpy(np.asarray(found.targets, dtype=np.int64)),
        num_classes=outputs.shape[1],
        n_bins=BINS,
    )
    return Calibration(ece=float(error), bins=_bins(confidence, right))


def calibration_of(confidence: Values, right: npt.NDArray[np.bool_]) -> Calibration:
    """The same of any answers, (N,), that are right or not, (N,)."""
    error = binary_calibration_error(
        torch.from_numpy(confidence), torch.from_numpy(right).long(), n_bins=BINS
    )
    return Calibration(ece=float(error), bins=_bins(confidence, right))


def _bins(confidence: Values, right: npt.NDArray[np.bool_]) -> list[Bin]:
    numbers = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)  # (N,)
    count = np.bincount(numbers, minlength=BINS)
    sure = np.bincount(numbers, weights=confidence, minlength=BINS)
    true = np.bincount(numbers, weights=right, minlength=BINS)
    return [
        Bin(rows=int(n), confidence=float(sure[k] / n), accuracy=float(true[k] / n))
        for k, n in enumerate(count)
        if n
    ]


def label_scores(found: Predictions, model: str) -> dict[str, LabelScore]:
    """Precision, recall, F1 and support of every label; empty of a task without labels."""
    if found.task == "regression":
        return {}
    chosen, true = (_one_hot(found, one) for one in (found.decided(model), found.targets))
    both = (chosen & true).sum(axis=0)  # (C,)
    given, support = chosen.sum(axis=0), true.sum(axis=0)
    return {
        label: LabelScore(
            precision=_share(both[k], given[k]),
            recall=_share(both[k], support[k]),
            f1=_share(2 * both[k], given[k] + support[k]),
            support=int(support[k]),
        )
        for k, label in enumerate(found.labels)
    }


def _one_hot(found: Predictions, labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Labels (N,), or 0 and 1 (N, C), as (N, C)."""
    chosen: npt.NDArray[np.bool_] = (
        labels > 0
        if found.task == "multi_label"
        else labels[:, None] == np.arange(len(found.labels))
    )
    return chosen


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else 0.0


def confusion(found: Predictions, model: str) -> Confusion | None:
    """What a model says instead of the true label; ``None`` but for one label a row."""
    if found.task != "classification":
        return None
    count = len(found.labels)
    pairs = np.asarray(found.targets, dtype=np.int64) * count + found.decided(model)
    matrix = np.bincount(pairs, minlength=count * count).reshape(count, count)
    rows = {
        true: {found.labels[k]: int(n) for k, n in enumerate(matrix[at]) if n}
        for at, true in enumerate(found.labels)
    }
    return Confusion(model=model, rows={true: row for true, row in rows.items() if row})


def disagreement(found: Predictions, teacher: str, model: str) -> Disagreement | None:
    """How often a model and its teacher answer differently, and who is right then.

    With several labels a row's answer is all of them; ``None`` of a regression.
    """
    if found.task == "regression":
        return None
    theirs, own = _right(found, teacher), _right(found, model)
    differ = _differ(found, teacher, model)
    return Disagreement(
        model=model,
        rows=int(differ.sum()),
        share=float(differ.mean()),
        teacher_right=int((differ & theirs).sum()),
        model_right=int((differ & own).sum()),
        neither_right=int((differ & ~theirs & ~own).sum()),
    )


def _right(found: Predictions, model: str) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = found.decided(model) == found.targets
    return np.asarray(same.reshape(len(same), -1).all(axis=-1))


def _differ(found: Predictions, teacher: str, model: str) -> npt.NDArray[np.bool_]:
    differ: npt.NDArray[np.bool_] = found.decided(teacher) != found.decided(model)
    return np.asarray(differ.reshape(len(differ), -1).any(axis=-1))


def disagreeing_rows(found: Predictions, teacher: str, model: str, *, most: int) -> list[int]:
    """Rows that both answer differently, the model's surest answers first.

    Of several labels the surest is where both probabilities of a label are furthest apart; of a
    regression the rows where both values are.
    """
    theirs, own = found.outputs[teacher], found.outputs[model]
    if found.task == "classification":
        weight = own.max(axis=-1)
    else:
        weight = np.abs(own - theirs).max(axis=-1)
    order: Sequence[int] = np.argsort(-weight, kind="stable").tolist()
    differ = weight > 0 if found.task == "regression" else _differ(found, teacher, model)
    return [row for row in order if differ[row]][:most]


def told_answer(found: Predictions, model: str, row: int) -> tuple[str, float | None]:
    """A model's answer to a row in words, with its confidence where it has one."""
    outputs = found.outputs[model][row]
    if found.task == "regression":
        return f"{float(outputs[0]):.3f}", None
    if found.task == "classification":
        at = int(outputs.argmax())
        return found.labels[at], float(outputs[at])
    return told_target(found, found.decided(model)[row]), None


def told_target(found: Predictions, target: Any) -> str:
    """What is right for a row (one entry of the targets), in words."""
    if found.task == "regression":
        return f"{float(target):g}"
    if found.task == "classification":
        return found.labels[int(target)]
    names = [name for name, there in zip(found.labels, target, strict=True) if there > 0]
    return ", ".join(names) or "none"
