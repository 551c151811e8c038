"""Words and answers are found with any family's tokenizer: WordPiece, byte-level BPE, Unigram."""

import pytest
from tiny_tokenizers import KINDS, trained

from distill.text.questions import Limits, WindowEncoder, token_span
from distill.text.words import words_of

TEXTS = ["Ada Lovelace wrote it in London,  1843.", "Who wrote it? Éva, in Paris (France)."] * 5


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_without_spaces_and_apart_from_marks(kind) -> None:
    text = TEXTS[0]
    words = words_of(trained(kind, TEXTS).backend_tokenizer.encode(text), text)
    found = [text[start:end] for start, end in zip(words.starts, words.ends, strict=True)]
    assert found[:7] == ["Ada", "Lovelace", "wrote", "it", "in", "London", ","]
    assert "".join(found[7:]) == "1843."


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_the_characters_of_the_text(kind) -> None:
    context = TEXTS[1]
    encoder = WindowEncoder(trained(kind, TEXTS).backend_tokenizer, Limits(128, 8, 16))
    [[window]] = encoder.encode(["in?"], [context])
    for answer in ("wrote", "Éva", "France"):
        start = context.index(answer)
        span = token_span(window, start, start + len(answer), part=(True, True))
        first, last = (at - window.first for at in span)
        assert context[window.chars[first, 0] : window.chars[last, 1]].startswith(answer)
