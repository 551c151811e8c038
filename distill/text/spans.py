r"""From start and end logits to answers: the best spans of each window, then of all windows.

With :math:`s, e` the start and end logits of a window, the score of the span from token i to token
j is :math:`\log p^s_i + \log p^e_j`, where :math:`p^s` is the softmax of s over the tokens of the
context and the first token, which stands for "not in this window", and :math:`p^e` alike. A window
that does not hold the answer thus has little to say whatever the size of its logits. That nothing
answers has the score :math:`\log p^s_0 + \log p^e_0`, the smallest of all windows: each of them
must say so.

Legend: L length of a window in tokens, K tokens of the context among them, N best spans.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Decoding:
    """How answers are chosen."""

    max_answer: int = 30  # most tokens of an answer
    no_answer: bool = False  # whether nothing may be the answer
    # by how much the best span's score (a log probability) must at least exceed that of no answer
    threshold: float = 0.0
    candidates: int = 5  # how many spans are given

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Decoding:
        """As a task's settings say it, with the usual numbers for what is left out."""
        return cls(
            max_answer=int(settings.get("max_answer_length", cls.max_answer)),
            no_answer=bool(settings.get("no_answer", False)),
            threshold=float(settings.get("threshold", 0.0)),
        )


class Span(NamedTuple):
    """A part of a context: its first character, the one behind it, and a log probability."""

    start: int
    end: int
    score: float


def log_softmax(logits: npt.NDArray[Any]) -> Floats:
    """Logarithms of the softmax over the first axis, in double precision."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=0)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=0))
    return found


def window_spans(
    logits: npt.NDArray[Any],
    first: int,
    chars: npt.NDArray[np.int32],
    *,
    max_answer: int,
    count: int,
) -> tuple[list[Span], float]:
    """The best spans of a window, the best first, and the score of none.

    Args:
        logits: start and end logits, (L, 2) or longer.
        first: the position of the context's first token.
        chars: start and end of each of the context's tokens, (K, 2).
        max_answer: most tokens of a span.
        count: how many spans at most.
    """
    size = len(chars)
    kept = np.concatenate([logits[:1], logits[first : first + size]])  # (1 + K, 2)
    scores = log_softmax(kept)
    none = float(scores[0].sum())
    if not size:
        return [], none
    width = min(max_answer, size)
    ends = np.concatenate([scores[1:, 1], np.full(width - 1, -np.inf)])
    # Row i holds the spans that start at token i: (K, width).
    table = scores[1:, :1] + np.lib.stride_tricks.sliding_window_view(ends, width)
    flat = table.ravel()
    # Tokens may share characters, so that two spans are one text: more are looked at.
    ordered = np.argsort(-flat, kind="stable")[: 4 * count] if count > 1 else [flat.argmax()]
    spans: dict[tuple[int, int], Span] = {}
    for place in ordered:
        start, length = divmod(int(place), width)
        score = float(flat[place])
        if score == -math.inf:
            break
        key = int(chars[start, 0]), int(chars[start + length, 1])
        spans.setdefault(key, Span(*key, score))
    return list(spans.values())[:count], none


def best_spans(windows: Iterable[list[Span]], count: int) -> list[Span]:
    """The best spans of a context's windows, each once, the best first."""
    found: dict[tuple[int, int], Span] = {}
    for span in itertools.chain.from_iterable(windows):
        key = span.start, span.end
        if key not in found or span.score > found[key].score:
            found[key] = span
    # Stable: of equal scores the one that was found first, so the earlier window's.
    return sorted(found.values(), key=lambda span: -span.score)[:count]


def answer(
    context: str, windows: list[tuple[list[Span], float]], decoding: Decoding
) -> dict[str, Any]:
    """What is given for a question: the answer and the candidates it was chosen from.

    That is ``answer``, ``start``, ``end`` (``context[start:end]`` is the answer), ``score`` (its
    probability) and ``candidates``, a list of the same four, the most probable first. No answer is
    the empty text from 0 to 0.
    """
    spans = best_spans((found for found, _ in windows), decoding.candidates)
    chosen = spans[0] if spans else Span(0, 0, -math.inf)
    if decoding.no_answer:
        none = Span(0, 0, min(score for _, score in windows))
        if chosen.score - none.score < decoding.threshold:
            chosen = none
        spans = sorted([*spans, none], key=lambda span: -span.score)[: decoding.candidates]
    return {
        **_told(context, chosen),
        "candidates": [_told(context, span) for span in spans],
    }


def _told(context: str, span: Span) -> dict[str, Any]:
    return {
        "answer": context[span.start : span.end],
        "start": span.start,
        "end": span.end,
        "score": math.exp(span.score),
    }
