"""Where a teacher with another tokenizer sees answers, carried over character by character.

Legend: L length of a window, K tokens of the context in it, c characters of a context.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from distill.tasks.base import LEAST
from distill.tasks.qa.windows import WindowedDataset
from distill.text.questions import Window
from distill.text.spans import log_softmax

Floats = npt.NDArray[np.float64]


def by_characters(
    logits: npt.NDArray[np.float32], theirs: WindowedDataset, ours: WindowedDataset
) -> npt.NDArray[np.float32]:
    r"""A teacher's logits of its own tokens as logits of the student's tokens.

    As when answers are served, the start logits of each window of the teacher are a distribution
    over its tokens of the context and the first token, which stands for "not in this window".
    A token's share goes to its first character. Of all windows that have a character the largest
    share counts, and of "not in this window" the smallest one; together they are brought to 1:

    .. math:: P(c) \propto \max_w \sum_{i \in w,\ a_i = c} p^w_i, \qquad
        P(\emptyset) \propto \min_w p^w_0

    In a window of the student a token gets the sum of P over its characters, the first token all
    that is left, and the logits are :math:`\log \max(p, 10^{-9})`. Ends alike, by last characters.

    See :meth:`Task.carried`.
    """
    carried = np.full((int(ours.starts[-1]), 2), np.log(LEAST), dtype=np.float32)
    for question in range(int(ours.rows[-1]) + 1 if len(ours) else 0):
        read = [(theirs.window(one), theirs.starts[one]) for one in _windows(theirs, question)]
        shares = _joined([(window, logits[at : at + len(window)]) for window, at in read])
        own = _windows(ours, question)
        for number in own:
            window, at = ours.window(number), ours.starts[number]
            part = number == own[0], number == own[-1]
            kept = np.log(np.maximum(_in_window(shares, window, part), LEAST))  # (1 + K, 2)
            carried[at] = kept[0]
            carried[at + window.first : at + window.first + len(kept) - 1] = kept[1:]
    return carried


def cut_alike(theirs: WindowedDataset, ours: WindowedDataset) -> bool:
    """Whether both have as many tokens with the same characters, so that nothing is moved."""
    return all(
        np.array_equal(theirs.store[name], ours.store[name])
        for name in ("lengths", "firsts", "sizes", "rows", "chars")
    )


def _windows(rows: WindowedDataset, question: int) -> range:
    return range(*np.searchsorted(rows.rows, [question, question + 1]).tolist())


def _joined(windows: list[tuple[Window, npt.NDArray[np.float32]]]) -> Floats:
    """The shares of "nowhere" and, behind it, of every character of a context: (1 + c, 2)."""
    length = max(int(window.chars.max(initial=0)) for window, _ in windows) + 1
    joined = np.zeros((1 + length, 2))
    joined[0] = 1.0
    for window, logits in windows:
        first, chars = window.first, window.chars
        kept = np.concatenate([logits[:1], logits[first : first + len(chars)]])  # (1 + K, 2)
        shares = np.exp(log_softmax(kept))
        own = np.zeros_like(joined)
        np.add.at(own[1:, 0], chars[:, 0], shares[1:, 0])
        np.add.at(own[1:, 1], _lasts(chars), shares[1:, 1])
        joined[1:] = np.maximum(joined[1:], own[1:])
        joined[0] = np.minimum(joined[0], shares[0])
    joined /= joined.sum(axis=0)
    return joined


def _lasts(chars: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The last character of each token; of one without characters the one it stands before."""
    return np.maximum(chars[:, 1] - 1, chars[:, 0])


def _in_window(shares: Floats, window: Window, part: tuple[bool, bool]) -> Floats:
    """The shares of the first token and of each of the context's in a window, (1 + K, 2).

    A character between two tokens starts with the next one and ends with the one before, as
    answers do: see :func:`distill.text.questions.token_span`.
    """
    chars = window.chars
    found = np.zeros((1 + len(chars), 2))
    if len(chars):
        places = np.arange(len(shares) - 1)
        there = (part[0] | (places >= chars[0, 0])) & (part[1] | (places < chars[-1, 1]))
        starts = np.searchsorted(chars[:, 1], places, side="right")
        ends = np.searchsorted(chars[:, 0], places + 1, side="left") - 1
        for column, tokens in enumerate((starts, ends)):
            inside = there & (tokens >= 0) & (tokens < len(chars))
            np.add.at(found[1:, column], tokens[inside], shares[1:][inside, column])
    found[0] = np.maximum(1.0 - found.sum(axis=0), 0.0)
    return found
