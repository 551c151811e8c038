"""Questions and contexts to token ids: a long context becomes several windows that overlap.

Training and serving both read their tokens from here, so that they cannot differ.

Legend: L length of a window in tokens, K tokens of the context among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from distill.system.errors import DataError
from distill.text.words import windows, without_space

Ints = npt.NDArray[np.int32]

#: Special tokens that a pair may have around it: BERT's 3, RoBERTa's 4.
SPECIAL = 4


@dataclass(frozen=True)
class Limits:
    """How long windows and questions may be, in tokens.

    Raises:
        DataError: too little room is left for the context to go on from window to window.
    """

    max_length: int  # tokens of a window: special ones, question, and a part of the context
    stride: int  # tokens of the context that a window shares with the one before it
    max_question: int  # tokens kept of a question

    def __post_init__(self) -> None:
        if self.max_question < 1 or self.stride < 0:
            raise DataError("a question needs a token, and windows cannot share fewer than none")
        if self.stride + self.max_question + SPECIAL >= self.max_length:
            raise DataError(
                f"{self.max_length} tokens leave no room for a context beside {SPECIAL} special "
                f"tokens, {self.max_question} of the question and {self.stride} shared ones"
            )

    @classmethod
    def of(
        cls, max_length: int, *, stride: int | None = None, max_question: int | None = None
    ) -> Limits:
        """Limits with the usual numbers for what is left out.

        A third of a window is shared with the next one, as with the 128 of 384 tokens that BERT is
        trained on SQuAD with; a question keeps 64 tokens, and half a window at most.
        """
        return cls(
            max_length,
            max_length // 3 if stride is None else stride,
            min(64, max_length // 2) if max_question is None else max_question,
        )


@dataclass(frozen=True)
class Window:
    """The question with a part of the context, as the model reads them."""

    ids: Sequence[int]  # L token ids
    type_ids: Sequence[int]  # L; 1 at the context where the model tells the two apart
    first: int  # the position of the context's first token
    chars: Ints  # start and end in the context of each of its tokens, in characters, (K, 2)

    def __len__(self) -> int:
        return len(self.ids)


class WindowEncoder:
    """Makes windows with a tokenizer, whose truncation and padding it switches off."""

    def __init__(self, tokenizer: Tokenizer, limits: Limits) -> None:
        self.tokenizer = tokenizer
        self.limits = limits
        tokenizer.no_padding()
        tokenizer.no_truncation()

    def encode(self, questions: Sequence[str], contexts: Sequence[str]) -> list[list[Window]]:
        """The windows of each question's context, in the order of the text; at least one.

        A context without tokens (only white space) gives a window without a context.
        """
        pairs = list(zip(self.cut(questions), contexts, strict=True))
        # Not encode_batch_fast: that one leaves the characters out.
        encodings = self.tokenizer.encode_batch(pairs)
        return [
            self._windows(pair, context) for pair, context in zip(encodings, contexts, strict=True)
        ]

    def _windows(self, pair: Encoding, context: str) -> list[Window]:
        segments = pair.sequence_ids
        count = segments.count(1)
        first = segments.index(1) if count else len(segments)
        spans = [without_space(context, span) for span in pair.offsets[first : first + count]]
        offsets = np.array(spans, dtype=np.int32).reshape(count, 2)
        outside = len(segments) - count
        ids, types = pair.ids, pair.type_ids
        return [
            Window(
                [*ids[:first], *ids[first + start : first + end], *ids[first + count :]],
                [*types[:first], *types[first + start : first + end], *types[first + count :]],
                first,
                offsets[start:end],
            )
            for start, end in windows(count, self.limits.max_length - outside, self.limits.stride)
        ]

    def cut(self, questions: Sequence[str]) -> list[str]:
        """The beginning of each question that has no more tokens than are kept."""
        limit = self.limits.max_question
        kept = list(questions)
        encodings = self.tokenizer.encode_batch_fast(kept, add_special_tokens=False)
        for index, tokens in enumerate(encodings):
            if len(tokens) > limit:
                kept[index] = self._cut(kept[index])
        return kept

    def _cut(self, question: str) -> str:
        limit = self.limits.max_question
        # A tokenizer may split a cut word into more subwords than before; then more goes.
        while len(tokens := self.tokenizer.encode(question, add_special_tokens=False)) > limit:
            end = int(tokens.offsets[limit - 1][1])
            question = question[: min(end, len(question) - 1)]
        return question


def token_span(window: Window, start: int, end: int, *, part: tuple[bool, bool]) -> tuple[int, int]:
    """First and last token of an answer, or (0, 0), the first token, where it is not all here.

    Args:
        window: the window.
        start: where the answer starts in the context, in characters.
        end: the character behind it.
        part: whether the window is the context's first and its last.
    """
    chars = window.chars
    if not len(chars):
        return 0, 0
    before = 0 if part[0] else int(chars[0, 0])
    behind = max(end, int(chars[-1, 1])) if part[1] else int(chars[-1, 1])
    first = int(np.searchsorted(chars[:, 1], start, side="right"))
    last = int(np.searchsorted(chars[:, 0], end, side="left")) - 1
    if start < before or end > behind or first > last:
        return 0, 0
    return window.first + first, window.first + last
