from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.pruning.subwords import (
    count_pieces,
    coverage,
    ids_to_keep,
    trim_embeddings,
    trim_tokenizer,
)
from distill.system.errors import ModelError

TRAIN = ["the good film", "a funny story, loved it", "bad acting (long)", ""]
OTHER = ["the worst plot", "zebra 42 ★", "learning"]


@pytest.fixture
def parts(tiny_bert):
    folder = tiny_bert()
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def trimmed(model, tokenizer):
    keep = ids_to_keep(tokenizer, count_pieces(tokenizer, TRAIN))
    return trim_embeddings(model, keep), trim_tokenizer(tokenizer, keep), keep


def test_the_same_pieces_and_the_same_logits_on_training_texts(parts):
    model, tokenizer = parts
    small, short, keep = trimmed(model, tokenizer)
    assert len(short) == len(keep) == small.config.vocab_size < len(tokenizer)
    for text, pair in zip(TRAIN, reversed(TRAIN), strict=True):
        for given in ((text,), (text, pair)):
            before, after = tokenizer(*given), short(*given)
            assert short.convert_ids_to_tokens(after["input_ids"]) == (
                tokenizer.convert_ids_to_tokens(before["input_ids"])
            )
            assert [keep[index] for index in after["input_ids"]] == before["input_ids"]
            assert after["token_type_ids"] == before["token_type_ids"]
    with torch.no_grad():
        expected = model(**tokenizer(TRAIN, padding=True, return_tensors="pt")).logits
        found = small(**short(TRAIN, padding=True, return_tensors="pt")).logits
    assert torch.equal(found, expected)
    assert model.config.vocab_size == len(tokenizer)


def test_any_word_can_still_be_spelled(parts):
    model, tokenizer = parts
    _, short, _ = trimmed(model, tokenizer)
    assert coverage(short, OTHER).unknown == coverage(tokenizer, OTHER).unknown == 1  # the star
    assert short.tokenize("plot") == ["p", "##l", "##o", "##t"]
    assert coverage(short, OTHER).rate < coverage(tokenizer, OTHER).rate
    assert tokenizer.tokenize("plot") == ["plot"]


def test_what_is_written_loads_again_and_says_the_same_everywhere(parts, tmp_path):
    model, tokenizer = parts
    small, short, keep = trimmed(model, tokenizer)
    short.save_pretrained(tmp_path)
    small.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == short.get_vocab()
    assert again("a good story")["input_ids"] == short("a good story")["input_ids"]
    assert again.pad_token_id == keep.index(tokenizer.pad_token_id) == small.config.pad_token_id
    assert [again.convert_ids_to_tokens(i) for i in again("x")["input_ids"]] == [
        "[CLS]",
        "x",
        "[SEP]",
    ]
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    assert {token["content"]: token["id"] for token in content["added_tokens"]} == {
        name: again.get_vocab()[name] for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    }


def test_what_cannot_be_trimmed_is_told(parts):
    model, tokenizer = parts
    with pytest.raises(ModelError, match="has to stay"):
        trim_tokenizer(tokenizer, list(range(20, 40)))
    with pytest.raises(ModelError, match="word embeddings"):
        trim_embeddings(model, [0, 10**6])
