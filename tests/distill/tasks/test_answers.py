"""Exact match and F1 against torchmetrics, which transcribes SQuAD's script, and by hand."""

from __future__ import annotations

import random

import pytest
from torchmetrics.text import SQuAD

from distill.tasks.qa.analysis import best_of, exact_match, f1, normalize

WORDS = ["the", "The", "a", "an", "Eiffel", "tower,", "(1889)", "1889", "in", "Paris.", "-", "été"]


def oracle(answer, golds):
    metric = SQuAD()
    metric.update(
        [{"id": "1", "prediction_text": answer}],
        [{"id": "1", "answers": {"text": list(golds), "answer_start": [0] * len(golds)}}],
    )
    found = metric.compute()
    return float(found["exact_match"]) / 100, float(found["f1"]) / 100


def test_scores_are_those_of_the_official_script():
    draw = random.Random(0)
    for _ in range(300):
        answer = " ".join(draw.choices(WORDS, k=draw.randint(1, 5)))
        golds = [" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(3)]
        # A gold answer without words is one of SQuAD 2's own rules, which the oracle lacks.
        golds = [gold for gold in golds if normalize(gold)] or ["Paris"]
        assert best_of(answer, golds) == pytest.approx(oracle(answer, golds)), (answer, golds)


@pytest.mark.parametrize(
    ("answer", "gold", "em", "score"),
    [
        ("the Eiffel Tower", "Eiffel tower!", 1.0, 1.0),
        ("Paris, France", "Paris", 0.0, 2 / 3),
        ("Rome", "Paris", 0.0, 0.0),
        ("", "", 1.0, 1.0),
        ("", "Paris", 0.0, 0.0),
        ("the", "", 1.0, 1.0),
    ],
)
def test_by_hand(answer, gold, em, score):
    assert exact_match(answer, gold) == em
    assert f1(answer, gold) == pytest.approx(score)


def test_no_right_answer_wants_the_empty_text():
    assert best_of("", ()) == (1.0, 1.0)
    assert best_of("Paris", ()) == (0.0, 0.0)
    assert best_of("", ("Paris",)) == (0.0, 0.0)
