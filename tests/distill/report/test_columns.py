"""Text in columns."""

from __future__ import annotations

from distill.report.columns import align


def test_words_go_left_and_numbers_right():
    assert align([["a", "b", "c"], ["long", "x", "10"]]) == ["a     b   c", "long  x  10"]


def test_lines_have_no_blanks_at_the_end():
    assert align([["a", "b"], ["long", ""]], words=2) == ["a     b", "long"]
