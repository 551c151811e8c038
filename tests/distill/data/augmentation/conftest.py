"""A tiny masked-language model, and a reader of its vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill.data.augmentation.words import Reader


@pytest.fixture
def tiny_masked(tiny_bert: Callable[..., Path]) -> Callable[..., Path]:
    """A factory of folders with a random ``BertForMaskedLM`` and the tokenizer of ``tiny_bert``."""

    def build(**options: Any) -> Path:
        import torch
        from transformers import BertConfig, BertForMaskedLM

        folder = tiny_bert(**options)
        config = BertConfig.from_pretrained(folder)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            model = BertForMaskedLM(config)
        model.save_pretrained(folder)
        return folder

    return build


@pytest.fixture
def tokenizer(tiny_bert: Callable[..., Path]) -> Any:
    """The tiny tokenizer, with some Chinese characters and an accent-less word."""
    from transformers import AutoTokenizer

    words = ("movies", "wonderful", "cafe", "电", "影", "好", "看", "的", "坏")
    return AutoTokenizer.from_pretrained(tiny_bert(words=words))


@pytest.fixture
def reader(tokenizer: Any) -> Reader:
    """Reads up to 32 tokens and leaves stop words alone."""
    return Reader(tokenizer, max_length=32, stop_words=True)
