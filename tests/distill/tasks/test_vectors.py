"""The loss of ordered pairs, written out; what is observed of a batch."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from distill.system.errors import DataError
from distill.tasks import make_task
from distill.tasks.vectors.config import VectorsTask
from distill.tasks.vectors.task import Vectors, cosent_loss


def test_cosent_written_out() -> None:
    torch.manual_seed(0)
    vectors, given = torch.randn(8, 5), torch.tensor([0.0, 3.0, 3.0, 1.0])
    cosines = [
        float(F.cosine_similarity(vectors[2 * k], vectors[2 * k + 1], dim=0)) for k in range(4)
    ]
    total = 1.0
    for i in range(4):
        for j in range(4):
            if given[i] > given[j]:
                total += math.exp(20 * (cosines[j] - cosines[i]))
    found = cosent_loss(vectors, given.repeat_interleave(2))
    assert float(found) == pytest.approx(math.log(total), rel=1e-5)
    # Only the order of the similarities counts.
    other = cosent_loss(vectors, (10 * given - 5).repeat_interleave(2))
    assert float(other) == pytest.approx(float(found))


def test_rows_without_similarities_are_refused() -> None:
    with pytest.raises(DataError, match="pairs with a score"):
        cosent_loss(torch.randn(4, 2), torch.full((4,), math.nan))
    with pytest.raises(DataError, match="pairs with a score"):
        cosent_loss(torch.randn(3, 2), torch.ones(3))


def test_what_a_recipe_makes_of_it() -> None:
    config = VectorsTask(kind="vectors", pooling="cls", metric="pearson", whitening=8)
    task = make_task(config, ())
    assert isinstance(task, Vectors)
    assert (task.primary, task.config.whitening) == ("pearson", 8)
    assert task.settings == {"pooling": "cls", "normalize": True}
    assert set(task.metrics()) == {"spearman", "pearson"}
