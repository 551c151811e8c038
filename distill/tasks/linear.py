"""Logistic or ridge regression on TF-IDF: the floor of labels and of numbers.

Legend: N rows, B rows of a batch, F features, C outputs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system.processor import usable_cores
from distill.tasks.floors import Answer, Features, Floor, Logits, Matrix, Numbers

if TYPE_CHECKING:
    from distill.tasks.base import Task

logger = logging.getLogger("distill")

#: Inverse strengths of the penalty that are tried; with many labels, where each costs much, one.
_STRENGTHS, _MANY_LABELS, _ONE_STRENGTH = (1.0, 10.0), 20, (3.0,)
#: Of ridge regression, whose best penalties are stronger.
_RIDGE_STRENGTHS = (0.03, 0.3, 3.0)
#: Training rows are drawn down to so many characters, which take about a minute.
_MOST_CHARACTERS = 8_000_000
#: Logit of a label that no training example has.
_NEVER = -30.0

Weights = npt.NDArray[np.float32]
#: Features (N, F) and strength to weights (F + 1, C), the last row the biases.
Fit = Callable[[Matrix, float], Weights]


class LinearFloor(Floor):
    """Weights on TF-IDF features.

    Args:
        weights: (F + 1, C), the last row the biases.
    """

    format: ClassVar[str] = "tf-idf"

    def __init__(self, features: Features, weights: Weights) -> None:
        self.features, self.weights = features, weights

    def logits(self, rows: Matrix) -> Logits:
        """Logits (N, C) of features (N, F)."""
        found: Logits = rows @ self.weights[:-1] + self.weights[-1]
        return found

    def on(self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:
        def answer(numbers: Numbers, length: int) -> Logits:
            asked = split.take(numbers)
            return self.logits(self.features((asked.texts, asked.pairs)))

        return answer

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        return {**self.features.arrays(), "weights": self.weights}


def linear_floor(task: Task, data: TaskData) -> LinearFloor:
    """Fit TF-IDF with a logistic regression, of numbers with a ridge regression.

    Of two or three penalties, and of pairs with and without the TF-IDF of each text alone, what
    scores best on the validation examples is taken, as checkpoints are.
    """
    train, held = _fewer(data.train), data.validation
    fit, strengths = _fitter(task, train)
    features = Features((train.texts, train.pairs))
    found: list[tuple[float, LinearFloor]] = []
    for each in [features] if train.pairs is None else [features, features.with_sides()]:
        rows = each((train.texts, train.pairs))
        held_rows = each((held.texts, held.pairs))
        for strength in strengths:
            floor = LinearFloor(each, fit(rows, strength))
            floor.macs = round(rows.nnz / rows.shape[0]) * task.num_outputs
            found.append((_score(task, floor.logits(held_rows), held), floor))
    return max(found, key=lambda one: one[0])[1]


def _fewer(train: Split) -> Split:
    """The training examples, or where they are very many, a draw of them in their order."""
    characters = sum(map(len, train.texts)) + sum(map(len, train.pairs or ()))
    count = int(len(train) * _MOST_CHARACTERS / max(characters, 1))
    if count >= len(train):
        return train
    logger.info("linear: fitted on %s of %s training examples", f"{count:,}", f"{len(train):,}")
    rows = np.random.default_rng(0).choice(len(train), count, replace=False)
    return train.take(np.sort(rows))


def _score(task: Task, logits: Logits, split: Split) -> float:
    metrics = task.metrics()
    targets = torch.from_numpy(split.targets)
    task.observe(metrics, torch.from_numpy(logits), {"labels": targets})
    return float(metrics.compute()[task.primary])


def _fitter(task: Task, train: Split) -> tuple[Fit, tuple[float, ...]]:
    targets = train.targets
    if task.problem_type == "regression":
        return lambda rows, strength: _ridge(rows, targets, strength), _RIDGE_STRENGTHS
    single = targets.ndim == 1  # one label an example, whose weight counts for all labels
    columns = targets[:, None] == np.arange(task.num_outputs) if single else targets > 0  # (N, C)
    shares = np.broadcast_to(1.0, columns.shape)
    if task.weights is not None and single:
        shares = np.broadcast_to(np.asarray(task.weights)[targets, None], columns.shape)
    elif task.weights is not None:
        shares = np.where(columns, task.weights, 1.0)
    strengths = _ONE_STRENGTH if task.num_outputs > _MANY_LABELS else _STRENGTHS
    return lambda rows, strength: _logistic(rows, columns, shares, strength), strengths


def _ridge(rows: Matrix, targets: npt.NDArray[Any], strength: float) -> Weights:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / strength, solver="sparse_cg", random_state=0).fit(rows, targets)
    return np.append(model.coef_, model.intercept_).astype(np.float32)[:, None]


def _logistic(
    rows: Matrix,
    columns: npt.NDArray[np.bool_],
    shares: npt.NDArray[Any],
    strength: float,
) -> Weights:
    """Each label against the rest: weights (F + 1, C)."""
    from sklearn.linear_model import LogisticRegression

    def of_label(label: int) -> Weights:
        there = columns[:, label]
        weights = np.zeros(rows.shape[1] + 1, dtype=np.float32)
        if there.all() or not there.any():  # nothing to tell apart
            weights[-1] = -_NEVER if there.all() else _NEVER
            return weights
        # The trust region method: coordinate descent takes hundreds of passes over pairs' features.
        model = LogisticRegression(C=strength, solver="liblinear", tol=1e-3, random_state=0)
        model.fit(rows, there, sample_weight=shares[:, label])
        weights[:-1], weights[-1] = model.coef_[0], model.intercept_[0]
        return weights

    if columns.shape[1] == 2 and (columns[:, 0] != columns[:, 1]).all():
        both = of_label(1) / 2  # of two labels one is the other's rest
        return np.stack([-both, both], axis=1)
    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.stack(list(pool.map(of_label, range(columns.shape[1]))), axis=1)
