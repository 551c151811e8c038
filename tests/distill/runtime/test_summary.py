"""Centrality against linear algebra, the choice against repetition, and positions in the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from distill.runtime import summary
from distill.runtime.summary import centralities, choose, summarise
from distill.system.errors import DataError

THEMES = {"ships": 0, "storm": 0, "sea": 0, "bread": 1, "butter": 1, "law": 2}


class ByTheme:
    """Vectors that count words of three themes."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.full((len(texts), 4), 0.1, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().strip(".").split():
                if word in THEMES:
                    vectors[row, THEMES[word]] += 1
        return vectors


def unit(count: int, width: int, seed: int = 0) -> npt.NDArray[np.float64]:
    vectors = np.random.default_rng(seed).normal(size=(count, width)) + 0.5
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_lexrank_is_the_stationary_vector(
    threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "_BLOCK", 7)  # blocks that do not divide the rows
    vectors = unit(30, 6)
    likeness = vectors @ vectors.T
    likeness[likeness <= threshold] = 0
    np.fill_diagonal(likeness, 1)
    moves = likeness / likeness.sum(axis=1, keepdims=True)
    google = 0.15 / 30 + 0.85 * moves.T
    values, axes = np.linalg.eig(google)
    expected = np.abs(np.real(axes[:, np.argmax(np.real(values))]))
    found = centralities(vectors, kind="lexrank", threshold=threshold)
    np.testing.assert_allclose(found, expected / expected.max(), rtol=1e-6)
    degree = centralities(vectors, kind="degree", threshold=threshold)
    total = likeness.sum(axis=1)
    np.testing.assert_allclose(degree, total / total.max(), rtol=1e-9)


def test_a_repetition_is_left_aside() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    scores = np.array([1.0, 1.0, 0.8])
    assert choose(vectors, scores, count=2, diversity=0.0) == [0, 1]
    assert choose(vectors, scores, count=2, diversity=0.4) == [0, 2]
    assert sorted(choose(vectors, scores, count=9, diversity=0.4)) == [0, 1, 2]


def test_the_main_theme_in_its_own_order_with_positions() -> None:
    text = (
        "The law was read to them. The storm drove the ships out to sea. He ate bread once then. "
        "All the ships met the storm there. Ships! The sea took the ships in the storm."
    )
    found = summarise(ByTheme(), text, sentences=3, diversity=0.0)
    assert [one.number for one in found] == [2, 4, 6]  # not "Ships!", which is too short
    for one in found:
        assert text[one.start : one.end] == one.text
    assert max(one.score for one in found) == 1.0
    assert found[0].number == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"text": " \n "}, "empty"),
        ({"text": "A.", "sentences": 0}, "sentences is 0"),
        ({"text": "A.", "diversity": 1.5}, "diversity is 1.5"),
    ],
)
def test_mistakes(settings: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        summarise(ByTheme(), **settings)  # type: ignore[arg-type]
