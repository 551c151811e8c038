from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import BertTokenizerFast

from distill.text.words import owners, windows, word_windows, words_of

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "new", "york", "cafe", "go", "##ing"]
PIECES += ["@", "user", "'", "s", ".", "北", "京"]


@pytest.fixture(scope="module")
def engine() -> Tokenizer:
    vocab = {piece: number for number, piece in enumerate(PIECES)}
    found: Tokenizer = BertTokenizerFast(vocab=vocab, do_lower_case=True).backend_tokenizer
    return found


def read(engine: Tokenizer, text: str) -> list[str]:
    found = words_of(engine.encode(text), text)
    return [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("going New York.", ["going", "New", "York", "."]),
        ("@user's", ["@", "user", "'", "s"]),
        ("北京 York", ["北", "京", "York"]),
        ("  😂👍🏽  go ", ["😂👍🏽", "go"]),
        ("cafe\u0301 go", ["cafe\u0301", "go"]),  # an accent as a character of its own
        ("café", ["café"]),
        ("שלום go", ["שלום", "go"]),
        ("a [SEP] b", ["a", "[SEP]", "b"]),
        ("\u200b", []),
        ("", []),
    ],
)
def test_words_are_words_with_their_characters(
    engine: Tokenizer, text: str, expected: list[str]
) -> None:
    assert read(engine, text) == expected


def test_a_word_is_read_at_its_first_piece(engine: Tokenizer) -> None:
    text = "going going york"
    found = words_of(engine.encode(text), text)
    assert found.firsts.tolist() == [0, 2, 4]
    [part] = word_windows(found, max_length=16, stride=4)
    pieces = [PIECES[piece] for piece in part.ids]
    assert pieces == ["[CLS]", "go", "##ing", "go", "##ing", "york", "[SEP]"]
    assert [pieces[place] for place in part.positions] == ["go", "go", "york"]


@pytest.mark.parametrize(("max_length", "stride"), [(8, 2), (8, 0), (11, 8), (128, 32)])
def test_every_word_is_read_in_one_window(engine: Tokenizer, max_length: int, stride: int) -> None:
    text = " ".join(["going new york . @user cafe"] * 7)
    found = words_of(engine.encode(text), text)
    cut = word_windows(found, max_length=max_length, stride=stride)
    read_in = [word for part in cut for word in part.words.tolist()]
    assert read_in == list(range(len(found)))
    for part in cut:
        assert len(part) <= max_length
        assert part.ids[0], part.ids[-1] == (2, 3)
        expected = [found.ids[found.firsts[word]] for word in part.words]
        assert [part.ids[place] for place in part.positions] == expected


@settings(max_examples=300, deadline=None)
@given(count=st.integers(0, 400), size=st.integers(1, 60), data=st.data())
def test_windows_hold_every_token_and_overlap_by_the_stride(
    count: int, size: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, size - 1))
    cut = windows(count, size, stride)
    assert cut[0][0] == 0
    assert cut[-1][1] == count
    if len(cut) > 1:
        assert all(end - start == size for start, end in cut[:-1])
        assert stride < cut[-1][1] - cut[-1][0] <= size
    for (_, end), (start, _) in itertools.pairwise(cut):
        assert end - start == stride
    # No fewer would do.
    assert len(cut) == max(1, -(-(count - stride) // (size - stride)))


@settings(max_examples=300, deadline=None)
@given(count=st.integers(1, 200), size=st.integers(2, 40), data=st.data())
def test_each_token_is_read_where_it_sees_most(count: int, size: int, data: st.DataObject) -> None:
    cut = windows(count, size, data.draw(st.integers(0, size - 1)))
    found = owners(count, cut)
    for token, owner in enumerate(found.tolist()):
        contexts = []
        for start, end in cut:
            left = count if start == 0 else token - start
            right = count if end == count else end - 1 - token
            contexts.append(min(left, right) if start <= token < end else -1)
        assert contexts[owner] == max(contexts) >= 0
    assert (np.diff(found) >= 0).all()


def test_windows_that_never_end_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot overlap by 6"):
        windows(10, 6, 6)
