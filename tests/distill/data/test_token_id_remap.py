"""A teacher reads the student's subwords, where rare ones left the student's vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from distill.data.split import Split
from distill.data.token_id_remap import RemappedExamples, remap_of, token_for_token
from distill.data.tokenized import tokenize
from distill.pruning.subwords import ids_to_keep, trim_tokenizer
from distill.system.errors import ModelError

SPLIT = Split("train", ["the best film", "a bad film", "the worst"], [0, 1, 1])


@pytest.fixture
def whole(tiny_bert: Any) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert())


def trimmed(whole: Any, text: str) -> Any:
    keep = ids_to_keep(whole, whole(text, add_special_tokens=False)["input_ids"])
    return trim_tokenizer(whole, keep)


def rows(tokenizer: Any) -> Any:
    return tokenize(SPLIT, tokenizer, max_length=32)


def test_the_same_pieces_are_the_other_ones_own_rows(whole: Any) -> None:
    own = trimmed(whole, "the best bad worst film a")
    ours, theirs = rows(own), rows(whole)
    found = token_for_token(ours, theirs, tokenizer=own, other=whole)
    assert found is theirs
    assert token_for_token(theirs, theirs, tokenizer=whole, other=whole) is theirs


def test_words_that_are_spelled_are_read_as_they_are_spelled(whole: Any) -> None:
    own = trimmed(whole, "the bad film a")
    ours, theirs = rows(own), rows(whole)
    found = token_for_token(ours, theirs, tokenizer=own, other=whole)
    assert isinstance(found, RemappedExamples)
    assert (len(found), found.pad_id) == (3, whole.pad_token_id)
    assert found.digest not in (ours.digest, theirs.digest)
    for row in range(3):
        subwords = own.convert_ids_to_tokens(ours[row]["input_ids"].tolist())
        assert whole.convert_ids_to_tokens(found[row]["input_ids"].tolist()) == subwords
        assert found.lengths[row] == len(subwords)
        assert np.array_equal(found[row]["token_type_ids"], ours[row]["token_type_ids"])
        assert found[row]["index"] == row
    assert "##s" in subwords or "##o" in subwords


def test_a_piece_that_the_other_one_lacks_is_named(whole: Any, tiny_bert: Any) -> None:
    other = AutoTokenizer.from_pretrained(tiny_bert(words=("zebra",)))
    with pytest.raises(ModelError, match="lacks the student's subword 'zebra'"):
        remap_of(other, whole)
