"""Every metric of every task against scikit-learn and scipy, on random and bare rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from distill.system.errors import DataError
from distill.tasks import make_task
from distill.tasks.base import Task
from distill.tasks.classification.task import Classification
from distill.tasks.multi_label.task import MultiLabel
from distill.tasks.regression.config import RegressionTask
from distill.tasks.regression.task import Regression
from distill.tasks.vectors.scores import PairCorrelation

QUICK = settings(max_examples=60, deadline=None)


@pytest.fixture(autouse=True)
def _degenerate_rows_are_meant() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the libraries' own, of divisions by zero
        yield


def computed(task: Task, logits: torch.Tensor, labels: torch.Tensor, batch: int = 3) -> Any:
    metrics = task.metrics()
    for start in range(0, len(labels), batch):
        part = slice(start, start + batch)
        task.observe(metrics, logits[part], {"labels": labels[part]})
    return {name: float(value) for name, value in metrics.compute().items()}


def one_label(classes: int, true: list[int], predicted: list[int]) -> None:
    task = Classification([f"label {n}" for n in range(classes)])
    logits = torch.nn.functional.one_hot(torch.tensor(predicted), classes).float()
    expected = {
        "accuracy": sklearn.accuracy_score(true, predicted),
        "macro_f1": sklearn.f1_score(true, predicted, average="macro", zero_division=0),
        "mcc": sklearn.matthews_corrcoef(true, predicted),
    }
    if classes == 2:
        expected["f1"] = sklearn.f1_score(true, predicted, zero_division=0)
    assert computed(task, logits, torch.tensor(true)) == pytest.approx(expected, abs=1e-6)


@QUICK
@given(st.integers(2, 5), st.data())
def test_one_label(classes: int, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 30))
    # Few of the labels, so that classes are absent and models constant more often than not.
    pools = [data.draw(st.sets(st.integers(0, classes - 1), min_size=1)) for _ in range(2)]
    columns = [
        data.draw(st.lists(st.sampled_from(sorted(pool)), min_size=rows, max_size=rows))
        for pool in pools
    ]
    one_label(classes, *columns)


@pytest.mark.parametrize(("right", "wrong"), [(15, 5), (48, 2), (300, 1), (1, 300), (10, 0)])
def test_a_model_that_always_predicts_one_label_has_no_mcc(right: int, wrong: int) -> None:
    for said in (0, 1):
        one_label(2, [said] * right + [1 - said] * wrong, [said] * (right + wrong))


@QUICK
@given(st.integers(2, 4), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.data())
def test_several_labels(labels: int, rows: int, share: float, data: st.DataObject) -> None:
    draw = np.random.default_rng(data.draw(st.integers(0, 1000)))
    true, said = (draw.random((2, rows, labels)) < np.array([share, 0.3])[:, None, None]).astype(
        int
    )
    if data.draw(st.booleans()):
        said[:] = 0  # nothing is predicted
    task = MultiLabel([f"label {n}" for n in range(labels)])
    found = computed(task, torch.tensor(said).float() * 4 - 2, torch.tensor(true).float())
    none = {"zero_division": 0}
    assert found == pytest.approx(
        {
            "micro_f1": sklearn.f1_score(true, said, average="micro", **none),
            "macro_f1": sklearn.f1_score(true, said, average="macro", **none),
            "precision": sklearn.precision_score(true, said, average="micro", **none),
            "recall": sklearn.recall_score(true, said, average="micro", **none),
            "exact": sklearn.accuracy_score(true, said),
        },
        abs=1e-6,
    )


NUMBERS = st.one_of(
    st.lists(st.sampled_from([-2.0, 0.0, 0.1, 1.5]), min_size=2, max_size=20),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20),
)


def reference(name: str, predicted: list[float], true: list[float]) -> float:
    """Scipy's correlation, and 0 where it has none; predictions are fp32, and so is their noise."""
    function = stats.pearsonr if name == "pearson" else stats.spearmanr
    spread = max(predicted) - min(predicted)
    noise = 4 * np.finfo(np.float32).eps * max(map(abs, predicted))
    found = float(function(predicted, true)[0]) if spread > noise else math.nan
    return 0.0 if math.isnan(found) else found


@QUICK
@given(NUMBERS, NUMBERS)
def test_numbers(first: list[float], second: list[float]) -> None:
    rows = min(len(first), len(second))
    predicted, true = (np.float32(x[:rows]).tolist() for x in (first, second))
    found = computed(Regression(), torch.tensor(predicted)[:, None], torch.tensor(true))
    for name in ("pearson", "spearman"):
        assert found[name] == pytest.approx(reference(name, predicted, true), abs=1e-6), name
    assert found["mse"] == pytest.approx(sklearn.mean_squared_error(true, predicted), rel=1e-4)
    assert found["mae"] == pytest.approx(sklearn.mean_absolute_error(true, predicted), rel=1e-4)


@pytest.mark.parametrize("name", ["pearson", "spearman"])
@pytest.mark.parametrize(
    "predicted",
    [
        [0.1] * 7,
        # What a collapsed model says in batches of two sizes: the same up to the last digit.
        [0.1, 0.1, 0.1 + 7e-9, 0.1, 0.1, 0.1, 0.1 - 7e-9],
        [12345.678] * 7,
        [math.nan] * 7,
    ],
)
def test_a_constant_correlates_with_nothing(name: str, predicted: list[float]) -> None:
    task = Regression(metric=name)
    metrics = task.metrics()
    for part in (slice(0, 4), slice(4, 7)):
        logits = torch.tensor(predicted)[part, None]
        task.observe(metrics, logits, {"labels": torch.arange(7.0)[part]})
    assert float(metrics.compute()[name]) == 0.0
    assert metrics[name].undefined
    metrics.reset()
    task.observe(metrics, torch.tensor([[1.0], [2.0]]), {"labels": torch.tensor([2.0, 1.0])})
    assert float(metrics.compute()[name]) == pytest.approx(-1.0)
    assert not metrics[name].undefined


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
@pytest.mark.parametrize("what", ["cosines", "similarities", "one pair"])
def test_pairs_without_an_order_have_no_correlation(kind: Any, what: str) -> None:
    torch.manual_seed(0)
    vectors = torch.ones(20, 4) if what == "cosines" else torch.randn(20, 4)
    given = torch.ones(20) if what == "similarities" else torch.arange(10.0).repeat_interleave(2)
    rows = 2 if what == "one pair" else 20
    metric = PairCorrelation(kind)
    metric.update(vectors[:rows], torch.arange(rows), given[:rows])
    assert float(metric.compute()) == 0.0
    assert metric.undefined


def test_f1_of_more_than_two_labels_is_refused() -> None:
    with pytest.raises(DataError, match=r"^task\.metric: 'f1' needs two labels, these data have 3"):
        Classification(["a", "b", "c"], metric="f1")


def test_numbers_are_learned_by_squared_error() -> None:
    logits, labels = torch.tensor([[1.0], [3.0]]), torch.tensor([2.0, 3.5])
    assert float(Regression().loss(logits, labels)) == pytest.approx((1 + 0.25) / 2)
    task = make_task(RegressionTask(kind="regression", bounds=[0, 5]), ())
    assert task.settings == {"bounds": [0, 5]}
    assert task.logits_loss == "mse"
