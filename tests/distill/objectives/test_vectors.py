"""Losses of sentence vectors against their formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.projection import Projections
from distill.capture.signals import Signals
from distill.objectives import make_objectives
from distill.objectives.vectors import VECTOR, VectorMatch, similarity_loss, vector_loss
from distill.system.errors import ModelError


def cosine(a: Tensor, b: Tensor) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(float(x) ** 2 for x in a) * sum(float(x) ** 2 for x in b))


def test_similarity_written_out() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.randn(4, 3), torch.randn(4, 5)
    expected = 0.0
    for i in range(4):
        for j in range(4):
            if i != j:
                expected += (cosine(ours[i], ours[j]) - cosine(theirs[i], theirs[j])) ** 2
    assert float(similarity_loss(ours, theirs)) == pytest.approx(expected / 12, rel=1e-5)


def test_similarity_knows_neither_length_nor_turning() -> None:
    torch.manual_seed(1)
    vectors = torch.randn(6, 4, dtype=torch.float64)
    turn, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))
    lengths = torch.rand(6, 1, dtype=torch.float64) + 0.5
    assert float(similarity_loss(lengths * vectors @ turn, vectors)) < 1e-20
    assert float(similarity_loss(vectors[:1], vectors[1:2])) == 0.0


def test_direction_written_out() -> None:
    torch.manual_seed(2)
    ours, theirs = torch.randn(3, 4), torch.randn(3, 4)
    expected = sum(1 - cosine(a, b) for a, b in zip(ours, theirs, strict=True)) / 3
    assert float(vector_loss(ours, theirs)) == pytest.approx(expected, rel=1e-5)
    assert float(vector_loss(3 * ours, ours)) == pytest.approx(0, abs=1e-6)


def test_a_narrower_student_is_projected() -> None:
    torch.manual_seed(3)
    [objective] = make_objectives(["vector"])
    assert isinstance(objective, VectorMatch)
    empty = LayerMap(())
    assert objective.projected(empty, widths=(3, 5)) == {VECTOR}
    assert objective.projected(empty, widths=(5, 5)) == frozenset()
    project = Projections(3, 5, layers={VECTOR})
    ours, theirs = torch.randn(4, 3), torch.randn(4, 5)
    found = objective(
        Signals(logits=ours), Signals(logits=theirs), mask=torch.ones(4, 2), layer_map=empty,
        project=project, labels=None,
    )  # fmt: skip
    torch.testing.assert_close(found, vector_loss(project(ours, VECTOR), theirs))
    with pytest.raises(ModelError, match="take 'similarity'"):
        vector_loss(ours, theirs)


def test_other_sentences_are_refused() -> None:
    with pytest.raises(ModelError, match="same sentences"):
        similarity_loss(torch.randn(3, 2), torch.randn(4, 2))
