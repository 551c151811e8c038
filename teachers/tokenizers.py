"""Whether two tokenizers turn texts into the same tokens."""

from __future__ import annotations

import json
from typing import Any

from transformers import PreTrainedTokenizerFast


def same_tokens(one: PreTrainedTokenizerFast, other: PreTrainedTokenizerFast) -> bool:
    """Whether both have the same tokens under the same numbers and cut texts alike."""
    return one is other or _meaning(one) == _meaning(other)


def _meaning(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    # Padding and truncation are set anew by whoever tokenises; the rest hangs on the vocabulary.
    return {
        "vocabulary": tokenizer.get_vocab(),
        "normalizer": content.get("normalizer"),
        "pre_tokenizer": content.get("pre_tokenizer"),
    }
