"""Numbers as people read them."""

from __future__ import annotations

import pytest

from distill.report import numbers


@pytest.mark.parametrize(
    ("count", "text"),
    [(109_483_778, "109"), (22_713_216, "22.7"), (1_234_567, "1.23"), (4_300, "0.0043"),
     (11_174_000_000, "11,174"), (0, "0")],
)  # fmt: skip
def test_millions(count, text):
    assert numbers.millions(count) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(1, "1.0x"), (0.999, "1.0x"), (0.5, "0.50x"), (5.94, "5.9x"), (12.33, "12.3x"),
     (99.4, "99.4x"), (1234, "1,234x"), (None, "-")],
)  # fmt: skip
def test_times(ratio, text):
    assert numbers.times(ratio) == text


def test_the_others():
    assert [numbers.milliseconds(v) for v in (0.0461, 0.694, 12.34, 1234.5, None)] == [
        "0.046", "0.69", "12.3", "1,234", "-",
    ]  # fmt: skip
    assert [numbers.rate(v) for v in (2443.4, 0.51, None)] == ["2,443", "0.51", "-"]
    assert [numbers.percent(v) for v in (0.96401, None)] == ["96.4 %", "-"]
    assert [numbers.seconds(v) for v in (6.62, 59.6, 754, 7260)] == [
        "6.6 s", "1 min 0 s", "12 min 34 s", "2 h 1 min",
    ]  # fmt: skip
    assert numbers.score(0.80129) == "0.8013"


def test_words_go_left_and_numbers_right():
    assert numbers.align([["a", "b", "c"], ["long", "x", "10"]]) == ["a     b   c", "long  x  10"]


def test_lines_have_no_blanks_at_the_end():
    assert numbers.align([["a", "b"], ["long", ""]], words=2) == ["a     b", "long"]
