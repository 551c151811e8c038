import math

import pytest
import torch
from pydantic import ValidationError

from distill.system.errors import DataError
from distill.tasks.classification.task import Classification


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
