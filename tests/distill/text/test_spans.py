"""Answers from logits, against every span written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from distill.text.spans import Decoding, Span, answer, best_spans, window_spans

TEXT = "zero one two three four five six seven"


def chars_of(text):
    starts = [0, *(i + 1 for i, sign in enumerate(text) if sign == " ")]
    return np.array([(s, s + len(w)) for s, w in zip(starts, text.split(), strict=True)], np.int32)


def every_span(logits, first, chars, max_answer):
    """(score, start, end) of every allowed span, by the formula."""
    kept = [0, *range(first, first + len(chars))]
    shares = [
        {i: math.exp(logits[i, side]) / sum(math.exp(logits[k, side]) for k in kept) for i in kept}
        for side in (0, 1)
    ]
    found = []
    for i, j in itertools.product(range(len(chars)), repeat=2):
        if i <= j < i + max_answer:
            score = math.log(shares[0][first + i]) + math.log(shares[1][first + j])
            found.append((score, int(chars[i, 0]), int(chars[j, 1])))
    return sorted(found, reverse=True), math.log(shares[0][0]) + math.log(shares[1][0])


@pytest.mark.parametrize("max_answer", [1, 3, 30])
@pytest.mark.parametrize("seed", range(2))
def test_the_best_spans_are_the_best_of_all(seed, max_answer):
    logits = np.random.default_rng(seed).normal(size=(13, 2), scale=3).astype(np.float32)
    chars = chars_of(TEXT)
    expected, none = every_span(logits, 3, chars, max_answer)
    found, none_found = window_spans(logits, 3, chars, max_answer=max_answer, count=5)
    assert [(s.start, s.end) for s in found] == [e[1:] for e in expected[:5]]
    assert [s.score for s in found] == pytest.approx([e[0] for e in expected[:5]])
    assert none_found == pytest.approx(none)
    [one], _ = window_spans(logits, 3, chars, max_answer=max_answer, count=1)
    assert one == found[0]


def test_question_and_padding_have_no_say():
    logits = np.zeros((14, 2), np.float32)
    logits[4, 0] = logits[5, 1] = 2.0
    loud = logits.copy()
    loud[1:3] = 1e4  # the question
    loud[11:] = 1e4  # the last special token and padding
    chars = chars_of(TEXT)
    quiet, none = window_spans(logits, 3, chars, max_answer=30, count=3)
    assert window_spans(loud, 3, chars, max_answer=30, count=3) == (quiet, none)
    assert TEXT[quiet[0].start : quiet[0].end] == "one two"


def test_windows_that_overlap_give_each_text_once_with_its_better_score():
    windows = [[Span(3, 8, -2.0), Span(9, 12, -3.0)], [Span(3, 8, -1.0)], [Span(0, 2, -1.0)]]
    assert best_spans(windows, 5) == [Span(3, 8, -1.0), Span(0, 2, -1.0), Span(9, 12, -3.0)]
    assert best_spans(windows, 1) == [Span(3, 8, -1.0)]


def test_no_answer_needs_the_agreement_of_every_window():
    sure, unsure = ([Span(0, 4, -5.0)], -0.01), ([Span(5, 8, -0.2)], -4.0)
    allowed = Decoding(no_answer=True)
    told = answer(TEXT, [sure, unsure], allowed)
    assert (told["answer"], told["start"], told["end"]) == ("one", 5, 8)
    told = answer(TEXT, [sure, sure], allowed)
    assert (told["answer"], told["start"], told["end"]) == ("", 0, 0)
    assert told["score"] == pytest.approx(math.exp(-0.01))
    assert [c["answer"] for c in told["candidates"]] == ["", "zero"]


def test_the_threshold_moves_the_choice():
    windows = [([Span(0, 4, -0.5)], -1.0)]
    for threshold, expected in ((0.4, "zero"), (0.6, ""), (-9.0, "zero")):
        told = answer(TEXT, windows, Decoding(no_answer=True, threshold=threshold))
        assert told["answer"] == expected
    assert answer(TEXT, [([Span(0, 4, -9.0)], -0.1)], Decoding())["answer"] == "zero"
