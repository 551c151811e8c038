from __future__ import annotations

import pytest

from distill.data.text.sentences import split_sentences


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("   ", []),
        ("one line without an end", ["one line without an end"]),
        ("It is late. He went! Why?", ["It is late.", "He went!", "Why?"]),
        ('"Go." She (too.) went.', ['"Go."', "She (too.)", "went."]),
        ("3.14 is a number, e.g. this one", ["3.14 is a number, e.g.", "this one"]),
        ("他走了。她来了！“好。”完", ["他走了。", "她来了！", "“好。”", "完"]),
        ("Wait... what… no", ["Wait...", "what…", "no"]),
        ("。。", ["。", "。"]),
    ],
)
def test_ends_of_sentences(line: str, expected: list[str]) -> None:
    assert split_sentences(line) == expected


def test_no_sign_is_lost() -> None:
    line = 'A "b. c" d?! e。f？” g... (h!) i'
    assert "".join(split_sentences(line)).replace(" ", "") == line.replace(" ", "")
