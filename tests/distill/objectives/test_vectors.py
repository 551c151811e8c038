"""Losses of sentence vectors against their formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from distill.capture.layer_map import LayerMap
from distill.capture.projection import Projections
from distill.capture.signals import Signals
from distill.objectives import Compared, Project, make_objectives
from distill.objectives.vectors import (
    VECTOR,
    VectorMatch,
    angle_loss,
    distance_loss,
    order_loss,
    similarity_loss,
    vector_loss,
)
from distill.system.errors import ModelError


def cosine(a: Tensor, b: Tensor) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(float(x) ** 2 for x in a) * sum(float(x) ** 2 for x in b))


def batch(ours: Tensor, theirs: Tensor, project: Project | None = None) -> Compared:
    mask = torch.ones(len(ours), 2)
    return Compared(Signals(logits=ours), Signals(logits=theirs), mask, project=project)


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


def test_a_narrower_student_is_projected() -> None:
    torch.manual_seed(3)
    [objective] = make_objectives(["vector"])
    assert isinstance(objective, VectorMatch)
    empty = LayerMap(())
    assert objective.projected(empty, widths=(3, 5)) == {VECTOR}
    assert objective.projected(empty, widths=(5, 5)) == frozenset()
    project = Projections(3, 5, layers={VECTOR})
    ours, theirs = torch.randn(4, 3), torch.randn(4, 5)
    found = objective(batch(ours, theirs, project))
    torch.testing.assert_close(found, vector_loss(project(ours, VECTOR), theirs))
    with pytest.raises(ModelError, match="take 'similarity'"):
        vector_loss(ours, theirs)


@pytest.mark.parametrize("loss", ["cosine", "l2", "mse"])
def test_losses_of_vectors_written_out(loss: str) -> None:
    torch.manual_seed(4)
    ours, theirs = torch.randn(3, 4), torch.randn(3, 4)
    expected = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if loss == "mse":
            expected += sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)) / 12
        else:
            apart = 1 - cosine(a, b)
            expected += (apart if loss == "cosine" else math.sqrt(2 * apart)) / 3
    assert float(vector_loss(ours, theirs, loss)) == pytest.approx(expected, rel=1e-5)
    if loss != "mse":  # lengths play no part
        scaled = float(vector_loss(3 * ours, theirs, loss))
        assert scaled == pytest.approx(expected, rel=1e-5)


def test_distances_and_angles_written_out() -> None:
    torch.manual_seed(5)
    ours, theirs = torch.randn(4, 3), torch.randn(4, 5)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]

    def huber(gap: float) -> float:
        return gap * gap / 2 if abs(gap) < 1 else abs(gap) - 0.5

    def distances(vectors: Tensor) -> dict[tuple[int, int], float]:
        found = {(i, j): math.dist(vectors[i].tolist(), vectors[j].tolist()) for i, j in pairs}
        mean = sum(found.values()) / len(found)
        return {pair: distance / mean for pair, distance in found.items()}

    a, b = distances(ours), distances(theirs)
    expected = sum(huber(a[pair] - b[pair]) for pair in pairs) / len(pairs)
    assert float(distance_loss(ours, theirs)) == pytest.approx(expected, rel=1e-5)

    def angle(vectors: Tensor, i: int, j: int, k: int) -> float:
        return cosine(vectors[i] - vectors[j], vectors[k] - vectors[j])

    triplets = [(i, j, k) for i, j in pairs for k in range(4) if k not in (i, j)]
    gaps = [huber(angle(ours, *one) - angle(theirs, *one)) for one in triplets]
    assert float(angle_loss(ours, theirs)) == pytest.approx(sum(gaps) / len(gaps), rel=1e-5)


def test_order_written_out() -> None:
    torch.manual_seed(6)
    ours, theirs = torch.randn(4, 3), torch.randn(4, 5)
    losses = [
        max(0.0, cosine(ours[i], ours[k]) - cosine(ours[i], ours[j]) + 0.1)
        for i in range(4)
        for j in range(4)
        for k in range(4)
        if len({i, j, k}) == 3 and cosine(theirs[i], theirs[j]) > cosine(theirs[i], theirs[k])
    ]
    found = float(order_loss(ours, theirs, margin=0.1))
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize("kind", ["similarity", "relational", "order", "vector"])
def test_equal_sentences_and_lone_ones_have_a_gradient(kind: str) -> None:
    [objective] = make_objectives([kind])
    one = torch.randn(1, 3)
    for vectors in (torch.cat([one, one, torch.randn(1, 3)]), one):
        ours = vectors.clone().requires_grad_()
        loss = objective(batch(ours, vectors))
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(ours.grad).all()


@pytest.mark.parametrize("kind", ["similarity", "relational", "order", "vector"])
def test_shortened_vectors_are_matched_too(kind: str) -> None:
    torch.manual_seed(7)
    [objective] = make_objectives([kind])
    objective.widths = (3, 2)
    ours, theirs = torch.randn(5, 4), torch.randn(5, 4)
    keys = objective.projected(LayerMap(()), widths=(4, 4))
    project = Projections(9, 9, layers=keys, vectors=(4, 4)) if keys else None

    def loss(student: Tensor, widths: tuple[int, ...]) -> float:
        objective.widths = widths
        return objective(batch(student, theirs, project)).item()

    # A projection begins as the identity: a shortened vector is one with zeros behind it.
    parts = [loss(torch.cat([ours[:, :w], torch.zeros(5, 4 - w)], dim=1), ()) for w in (4, 3, 2)]
    assert loss(ours, (3, 2)) == pytest.approx(sum(parts) / 3, rel=1e-5)
    with pytest.raises(ModelError, match="4 dimensions"):
        loss(ours, (4,))


def test_vectors_in_the_teachers_space_are_cut_as_the_teachers() -> None:
    torch.manual_seed(8)
    [objective] = make_objectives(["vector"])
    assert isinstance(objective, VectorMatch)
    objective.widths, objective.in_teachers_space = (3,), True
    assert objective.projected(LayerMap(()), widths=(4, 4)) == frozenset()
    ours, theirs = torch.randn(5, 4), torch.randn(5, 4)
    found = objective(batch(ours, theirs))
    cut = vector_loss(ours[:, :3], theirs[:, :3])
    torch.testing.assert_close(found, (vector_loss(ours, theirs) + cut) / 2)
