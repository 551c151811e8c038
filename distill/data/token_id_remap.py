"""Examples in one model's subwords, read by another that has the subwords under other ids.

Legend: V subwords of the examples' tokenizer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill.data.tokenized import TokenExamples
from distill.system import digest
from distill.system.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class RemappedExamples(TokenExamples):
    """Examples with other token ids; lengths, segments and order are the same.

    Args:
        rows: the examples as they are.
        remap: the new id for each of their ids, (V,).
        pad_id: the padding token's new id.
    """

    def __init__(self, rows: TokenExamples, remap: npt.NDArray[np.int64], *, pad_id: int) -> None:
        self.rows, self.remap, self.pad_id = rows, remap, pad_id
        self.lengths = rows.lengths
        self.padded = rows.padded
        self.digest = digest.of_json([rows.digest, remap.tolist()])

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = self.rows[index]
        return {**item, "input_ids": self.remap[np.asarray(item["input_ids"])]}


def remap_of(
    ours: PreTrainedTokenizerFast, theirs: PreTrainedTokenizerFast
) -> npt.NDArray[np.int64]:
    """The id that another tokenizer has for each of a tokenizer's subwords, (V,).

    Raises:
        ModelError: it lacks one of them.
    """
    known = theirs.get_vocab()
    found = np.empty(len(ours), dtype=np.int64)
    for subword, index in ours.get_vocab().items():
        if subword not in known:
            raise ModelError(f"the teacher's tokenizer lacks the student's subword '{subword}'")
        found[index] = known[subword]
    return found


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


def token_for_token(
    ours: TokenExamples,
    theirs: TokenExamples,
    *,
    tokenizer: PreTrainedTokenizerFast,
    other: PreTrainedTokenizerFast,
) -> TokenExamples:
    """Rows that another model reads, such that each of its tokens is one of ours.

    Where its own reading has the same subwords, that is taken, so that what was kept of it (a
    teacher's logits) is found again. Where rare subwords left our vocabulary, words are spelled in
    more subwords than the other model would take: it is given ours, under its numbers.

    Args:
        ours: rows in our tokens.
        theirs: the same rows in the other model's.
        tokenizer: ours, whose subwords are some of the other one's.
        other: the other one.

    Raises:
        ModelError: a subword is not one of the other tokenizer's.
    """
    if ours is theirs:
        return theirs
    remapped = RemappedExamples(ours, remap_of(tokenizer, other), pad_id=theirs.pad_id)
    if np.array_equal(ours.lengths, theirs.lengths) and all(
        np.array_equal(remapped[row]["input_ids"], theirs[row]["input_ids"])
        for row in range(len(ours))
    ):
        return theirs
    return remapped
