"""Rows of any kind as token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distill.data.questions import QuestionSplit
from distill.data.split import TextRows
from distill.data.tagged import TaggedSplit
from distill.data.tagged_tokens import tag_tokens
from distill.data.tokenized import TokenRows, tokenize
from distill.data.vectors import VectorSplit, encode_sentences
from distill.data.windowed import window

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def encode(split: TextRows, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> TokenRows:
    """What models read of a split's rows, and what is right for each.

    Args:
        split: the rows; how they are read goes by what they are.
        tokenizer: a fast tokenizer.
        max_length: tokens of one input, special ones included.

    Raises:
        DataError: the rows cannot be read with this tokenizer and length.
    """
    if isinstance(split, QuestionSplit):
        return window(split, tokenizer, max_length=max_length)
    if isinstance(split, VectorSplit):
        return encode_sentences(split, tokenizer, max_length=max_length)
    if isinstance(split, TaggedSplit):
        return tag_tokens(split, tokenizer, max_length=max_length)
    return tokenize(split, tokenizer, max_length=max_length)
