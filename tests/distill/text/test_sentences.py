"""Sentences by their positions, in English and Chinese."""

from __future__ import annotations

import pytest

from distill.text.sentences import sentence_spans


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("He came. She went.", ["He came.", "She went."]),
        ("Mr. Lee met Dr. J. K. Wu in St. Ives.", ["Mr. Lee met Dr. J. K. Wu in St. Ives."]),
        ('"What!" he said. "Why?" She left.', ['"What!" he said.', '"Why?"', "She left."]),
        ("It was so... odd. Was it?", ["It was so... odd.", "Was it?"]),
        ("So did I. We left.", ["So did I.", "We left."]),
        ("See No. 5 there. No. Never.", ["See No. 5 there.", "No.", "Never."]),
        ("It costs 3.14 a piece.", ["It costs 3.14 a piece."]),
        ("CHAPTER I\n\nIt was late,\nand cold.", ["CHAPTER I", "It was late,\nand cold."]),
        ("他走了。她说：“好！”然后呢？没有", ["他走了。", "她说：“好！”", "然后呢？", "没有"]),
        ("no stop at all", ["no stop at all"]),
        ("the film. it was good", ["the film.", "it was good"]),
        (" \n\n  ", []),
        ("", []),
    ],
)  # fmt: skip
def test_where_sentences_end(text: str, expected: list[str]) -> None:
    assert parts(text) == expected


def test_spans_cover_everything_but_white_space() -> None:
    text = ' One.  "Two!"\n\nThree… Four? 五。六！ '
    spans = sentence_spans(text)
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    left = "".join(text[end:start] for end, start in zip(ends, starts, strict=True))
    assert left.strip() == ""
    assert all(text[start:end].strip() == text[start:end] for start, end in spans)
