from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from distill.data.augmentation.words import Reader, written_like
from distill.system.errors import ModelError


def _words(reader: Reader, text: str) -> list[str]:
    sentence = reader.read([text])[0]
    return [text[word.start : word.end] for word in sentence.words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The film is not good, don't WATCH it!", ["film", "good", "WATCH"]),
        ("  good\tfilm\n", ["good", "film"]),
        ("a 1990s film, 3.5 stars \U0001f600 \U0001f3ac great", ["film", "stars", "great"]),
        ("Café movies", ["Café", "movies"]),
        ("well-made film_noir", ["well", "made", "film", "noir"]),
        ("[MASK] good [SEP] film", ["good", "film"]),
        ("这部电影很好看", ["部", "电", "影", "好", "看"]),
        ("", []),
    ],
)
def test_words_of_letters_that_are_no_stop_words(reader, text, words):
    assert _words(reader, text) == words


def test_stop_words_can_be_candidates(tokenizer):
    reader = Reader(tokenizer, max_length=32, stop_words=False)
    assert _words(reader, "The film is not good") == ["The", "film", "is", "not", "good"]


def test_places_are_of_the_text_and_pieces_of_the_vocabulary(reader, tokenizer):
    sentence = reader.read(["Unlikable  film"])[0]
    first, second = sentence.words
    assert (first.start, first.end, second.start, second.end) == (0, 9, 11, 15)
    assert list(first.ids) == tokenizer("unlikable", add_special_tokens=False)["input_ids"]
    assert sentence.ids[second.at] == second.ids[0]
    assert sentence.spoken == 2


def test_half_a_word_at_the_cut_is_left_alone(tokenizer):
    reader = Reader(tokenizer, max_length=6, stop_words=True)  # four subwords and special tokens
    text = "good film unlikable"
    assert _words(reader, text) == ["good", "film"]
    assert _words(reader, "good film bad scene plot") == ["good", "film", "bad"]


def test_replacements_are_whole_words(reader):
    subwords = {reader.subwords[number] for number in reader.replacements()}
    assert {"good", "film", "电"} <= subwords
    assert not subwords & {"a", "##s", "[MASK]", "[UNK]", "1", ",", "##ly"}


def test_other_tokenizers_are_refused():
    engine = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    other = PreTrainedTokenizerFast(tokenizer_object=engine, unk_token="[UNK]")
    with pytest.raises(ModelError, match="WordPiece words, and this tokenizer is WordLevel"):
        Reader(other, max_length=32, stop_words=True)


@pytest.mark.parametrize(
    ("word", "original", "written"),
    [
        ("great", "good", "great"),
        ("great", "Good", "Great"),
        ("great", "GOOD", "GREAT"),
        ("great", "I", "Great"),
        ("影", "电", "影"),
        ("London", "town", "London"),
    ],
)
def test_the_case_of_the_original(word, original, written):
    assert written_like(word, original) == written
