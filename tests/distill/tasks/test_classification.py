import math

import pytest
import torch
from pydantic import ValidationError

from distill.system.errors import DataError
from distill.tasks import make_task
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.classification.task import Classification


def logits_for(predictions: list[int], classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(predictions), classes).float() * 3 - 1


def scores(task: Classification, predictions: list[int], labels: list[int]) -> dict[str, float]:
    metrics = task.metrics()
    logits, truth = logits_for(predictions, task.num_outputs), torch.tensor(labels)
    for start in range(0, len(labels), 3):  # in batches, as in use
        metrics.update(logits[start : start + 3], truth[start : start + 3])
    return {name: float(value) for name, value in metrics.compute().items()}


def test_binary_metrics_equal_numbers_worked_by_hand():
    # TP 3, FP 1, FN 2, TN 4
    labels = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    predictions = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    found = scores(Classification(["no", "yes"]), predictions, labels)
    second, first = 2 * 3 / (2 * 3 + 1 + 2), 2 * 4 / (2 * 4 + 1 + 2)
    assert found == pytest.approx(
        {
            "accuracy": 0.7,
            "f1": second,
            "macro_f1": (second + first) / 2,
            "mcc": (3 * 4 - 1 * 2) / math.sqrt(4 * 5 * 5 * 6),
        },
        abs=1e-6,
    )


def test_f1_is_of_the_second_label():
    found = scores(Classification(["no", "yes"], metric="f1"), [0, 0, 0, 1], [0, 0, 1, 0])
    assert found["f1"] == 0
    assert found["accuracy"] == 0.5


def test_three_class_metrics_equal_numbers_worked_by_hand():
    labels = [0, 0, 0, 1, 1, 2]
    predictions = [0, 0, 1, 1, 2, 2]
    found = scores(Classification(["a", "b", "c"]), predictions, labels)
    # F1 by class: a 2*2/(2*2+0+1), b 2/(2+1+1), c 2/(2+1+0)
    # MCC (Gorodkin): (c*s - sum p_k t_k) / sqrt((s^2 - sum p^2)(s^2 - sum t^2))
    assert found == pytest.approx(
        {
            "accuracy": 4 / 6,
            "macro_f1": (4 / 5 + 1 / 2 + 2 / 3) / 3,
            "mcc": (4 * 6 - (2 * 3 + 2 * 2 + 2 * 1)) / math.sqrt((36 - 12) * (36 - 14)),
        },
        abs=1e-6,
    )


def test_metrics_of_agreeing_first_batches_are_kept_apart():
    # After a first batch of second labels only, the counts of several metrics agree.
    metrics = Classification(["no", "yes"]).metrics()
    metrics.update(logits_for([1, 1], 2), torch.tensor([1, 1]))
    metrics.update(logits_for([1, 0], 2), torch.tensor([0, 0]))
    found = metrics.compute()
    assert float(found["accuracy"]) == pytest.approx(3 / 4)
    assert float(found["f1"]) == pytest.approx(4 / 5)


def test_each_call_gives_empty_metrics():
    task = Classification(["no", "yes"])
    task.metrics().update(logits_for([1], 2), torch.tensor([0]))
    assert scores(task, [1], [1])["accuracy"] == 1


def test_loss_is_the_mean_negative_log_probability_in_fp32():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.bfloat16)
    loss = Classification(["no", "yes"]).loss(logits, torch.tensor([0, 0]))
    by_hand = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(by_hand, abs=1e-6)


def test_f1_of_more_than_two_labels_is_refused():
    with pytest.raises(DataError, match=r"^task\.metric: 'f1' needs two labels, these data have 3"):
        Classification(["a", "b", "c"], metric="f1")


def test_unknown_metric_lists_the_known_ones():
    with pytest.raises(ValidationError, match="'accuracy', 'f1', 'macro_f1' or 'mcc'"):
        Classification(["a", "b"], metric="acuracy")


@pytest.mark.parametrize("metric", ["accuracy", "f1", "macro_f1", "mcc"])
def test_make_task_takes_labels_of_the_data_and_metric_of_the_recipe(metric):
    task = make_task(ClassificationTask(kind="classification", metric=metric), ["no", "yes"])
    assert isinstance(task, Classification)
    assert (task.labels, task.primary, task.num_outputs) == (("no", "yes"), metric, 2)
    assert metric in task.metrics()
