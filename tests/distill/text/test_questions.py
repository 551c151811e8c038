"""Windows of a context: nothing lost, characters exact, answers where they are."""

from __future__ import annotations

import itertools

import pytest
from tokenizers import Tokenizer

from distill.text.questions import Limits, WindowEncoder, token_span

LONG = " ".join(f"the {word} film was {word} too" for word in ("good", "bad", "dull", "fine") * 5)


@pytest.fixture
def engine(tiny_bert):
    return Tokenizer.from_file(str(tiny_bert() / "tokenizer.json"))


def test_windows_cover_the_context_and_share_the_stride(engine):
    encoder = WindowEncoder(engine, Limits(32, stride=8, max_question=10))
    [windows] = encoder.encode(["what was good?"], [LONG])
    assert len(windows) > 3
    assert all(len(window) <= 32 for window in windows)
    covered = windows[0].chars.tolist()
    for before, after in itertools.pairwise(windows):
        assert before.chars[-8:].tolist() == after.chars[:8].tolist()
        covered += after.chars[8:].tolist()
    assert [LONG[a:b] for a, b in covered] == LONG.split()


def test_the_question_stands_in_every_window_and_the_context_is_the_second_text(engine):
    encoder = WindowEncoder(engine, Limits(32, stride=8, max_question=10))
    [windows] = encoder.encode(["what was good?"], [LONG])
    begin = [engine.token_to_id(t) for t in ("[CLS]", "what", "was", "good", "?", "[SEP]")]
    for window in windows:
        assert list(window.ids[:6]) == begin
        assert window.first == 6
        assert list(window.type_ids) == [0] * 6 + [1] * (len(window) - 6)
        assert window.ids[-1] == engine.token_to_id("[SEP]")
        assert len(window.chars) == len(window) - 7


def test_a_long_question_is_cut_and_the_context_still_read(engine):
    encoder = WindowEncoder(engine, Limits(32, stride=8, max_question=5))
    question = "what was the good film that she loves and he hates?"
    assert encoder.cut(["who?", question]) == ["who?", "what was the good film"]
    [[window]] = encoder.encode([question], ["a good film"])
    assert window.first == 7


@pytest.mark.parametrize("context", ["", "  \n "])
def test_a_context_without_tokens_is_a_window_without_a_context(engine, context):
    encoder = WindowEncoder(engine, Limits.of(32))
    [[window]] = encoder.encode(["who?"], [context])
    assert window.chars.shape == (0, 2)
    assert window.first == len(window)


def test_characters_are_those_of_python_whatever_the_script(engine):
    encoder = WindowEncoder(engine, Limits.of(48))
    context = "a \U0001f600\U0001f600 film שלום good é x"
    [[window]] = encoder.encode(["who?"], [context])
    found = [context[a:b] for a, b in window.chars]
    assert "film" in found
    assert "good" in found
    assert found[-1] == "x"


def test_where_an_answer_stands(engine):
    encoder = WindowEncoder(engine, Limits(32, stride=8, max_question=10))
    [windows] = encoder.encode(["what?"], [LONG])
    start = LONG.index("dull")
    parts = [(index == 0, index == len(windows) - 1) for index in range(len(windows))]
    spans = [
        token_span(w, start, start + len("dull film"), part=part)
        for w, part in zip(windows, parts, strict=True)
    ]
    assert any(span != (0, 0) for span in spans)
    for window, (first, last) in zip(windows, spans, strict=True):
        holds = window.chars[0, 0] <= start and window.chars[-1, 1] >= start + len("dull film")
        assert holds == ((first, last) != (0, 0))
        if holds:
            a = window.chars[first - window.first, 0]
            b = window.chars[last - window.first, 1]
            assert LONG[a:b] == "dull film"


def test_an_answer_inside_a_word_takes_the_tokens_that_hold_it(engine):
    encoder = WindowEncoder(engine, Limits.of(32))
    context = "the film's plot"
    [[window]] = encoder.encode(["what?"], [context])
    first, last = token_span(window, 5, 7, part=(True, True))  # "il"
    start, end = window.chars[first - window.first, 0], window.chars[last - window.first, 1]
    assert context[start:end] == "film"
