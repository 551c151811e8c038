"""A small text in files, and how it is tokenised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.data.text.corpus import Corpus, tokenize_text
from distill.data.text.documents import FileSource

WORDS = ["the", "film", "was", "good", "bad", "a", "story", "of", "love", "and", "time", "life"]

MakeCorpus = Callable[..., Corpus]


def write_text(path: Path, *, documents: int, seed: int = 0, lines: int = 6) -> Path:
    """Documents of a few lines of a few sentences of a few words each."""
    random = np.random.default_rng(seed)

    def sentence() -> str:
        words = random.choice(WORDS, random.integers(1, 12))
        return " ".join([f"n{random.integers(1000)}", *words]) + "."

    with path.open("w", encoding="utf-8") as file:
        for _ in range(documents):
            for _ in range(random.integers(1, lines + 1)):
                print(" ".join(sentence() for _ in range(random.integers(1, 4))), file=file)
            print(file=file)
    return path


@pytest.fixture
def corpus(tmp_path: Path, tokenizer: Any) -> MakeCorpus:
    """A factory: ``corpus(documents=40, seed=0)`` is a tokenised text."""

    def build(*, documents: int = 40, seed: int = 0, lines: int = 6) -> Corpus:
        path = write_text(tmp_path / f"{seed}.txt", documents=documents, seed=seed, lines=lines)
        return tokenize_text(FileSource([path]), tokenizer)

    return build
