"""Proposals of a masked-language model: batched as one by one, and nothing but words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

from distill.data.augmentation.masked import MaskedProposals
from distill.data.augmentation.words import Reader

TEXTS = [
    "A good film, and a very funny story.",
    "bad",
    "the best actor of the year gives life to a dull scene with love and more love",
    "not one word of it",
    "unknowable goodness",
    "Good GOOD good",
]
COUNT = 5


@pytest.fixture
def parts(tiny_masked) -> tuple[Any, Any, Reader]:
    folder = tiny_masked()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder).eval()
    return model, tokenizer, Reader(tokenizer, max_length=32, stop_words=True)


def _one_by_one(model, tokenizer, reader, sentence, word, original) -> list[int]:
    """The published way: one forward pass for a word, logits of the whole vocabulary."""
    masked = [*sentence.ids[: word.at], tokenizer.mask_token_id, *sentence.ids[word.at + 1 :]]
    ids = [tokenizer.cls_token_id, *masked, tokenizer.sep_token_id]
    types = [0] * len(ids)
    if original:
        types += [1] * (len(sentence.ids) + 1)
        ids += [*sentence.ids, tokenizer.sep_token_id]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([types])).logits[
            0, ids.index(tokenizer.mask_token_id)
        ]
    own = tokenizer.convert_ids_to_tokens(word.ids[0])
    kept = []
    for number in logits.argsort(descending=True).tolist():
        subword = tokenizer.convert_ids_to_tokens(number)
        if subword.isalpha() and len(subword) > 1 and subword != own:
            kept.append(number)
    return sorted(kept[:COUNT])


@pytest.mark.parametrize(("original", "tokens"), [(True, 1), (True, 4096), (False, 64)])
def test_many_at_once_propose_what_one_by_one_would(parts, original, tokens):
    model, tokenizer, reader = parts
    sentences = reader.read(TEXTS)
    propose = MaskedProposals(
        model, tokenizer, reader, count=COUNT, original=original, tokens=tokens
    )
    found = propose(sentences)
    words = [(s, word) for s in sentences for word in propose.words(s)]
    assert len(found) == len(words) > 12
    for row, (sentence, word) in zip(found, words, strict=True):
        wanted = _one_by_one(model, tokenizer, reader, sentence, word, original)
        assert row.tolist() == wanted


def test_only_words_are_proposed_and_never_the_word_itself(parts):
    model, tokenizer, reader = parts
    propose = MaskedProposals(model, tokenizer, reader, count=400)
    sentences = reader.read(TEXTS)
    found = propose(sentences)
    words = [word for s in sentences for word in propose.words(s)]
    for row, word in zip(found, words, strict=True):
        subwords = tokenizer.convert_ids_to_tokens(row[row >= 0].tolist())
        assert subwords
        assert all(subword.isalpha() and len(subword) > 1 for subword in subwords)
        assert tokenizer.convert_ids_to_tokens(word.ids[0]) not in subwords
    assert (found == -1).any()  # fewer words than were asked for


def test_a_text_too_long_to_be_read_twice_is_read_once(parts):
    model, tokenizer, _ = parts
    reader = Reader(tokenizer, max_length=128, stop_words=True)
    long = reader.read([" ".join(["good film"] * 60)])
    found = MaskedProposals(model, tokenizer, reader, count=COUNT)(long)
    once = MaskedProposals(model, tokenizer, reader, count=COUNT, original=False)(long)
    np.testing.assert_array_equal(found, once)
    assert len(found) == 120
