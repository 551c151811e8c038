"""Windows of a text that is longer than a model reads, and which of them each token is read in.

Legend: N tokens of a text, K windows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Window = tuple[int, int]


def windows(count: int, size: int, stride: int) -> list[Window]:
    """Cut a row of tokens into windows that overlap, as ``tokenizers`` truncates with a stride.

    All are full but the last, which ends with the text.

    Args:
        count: N.
        size: tokens in a window, at most.
        stride: tokens that neighbouring windows share; less than ``size``.

    Returns:
        The first token of each window, and the one behind its last.

    Raises:
        ValueError: a window would begin where the one before it does.

    Example:
        >>> windows(10, 6, 3)
        [(0, 6), (3, 9), (6, 10)]
    """
    if not 0 <= stride < size:
        raise ValueError(f"windows of {size} tokens cannot overlap by {stride}")
    starts = range(0, max(count - stride, 1), size - stride)
    return [(start, min(start + size, count)) for start in starts]


def owners(count: int, cut: list[Window]) -> npt.NDArray[np.int64]:
    """The window that each token is read in: that in which it has the most context.

    A token's context is the tokens up to the nearer edge of a window; at the beginning and the end
    of the text nothing is missing, so that an edge there does not count. Of equals it is the first.

    Args:
        count: N.
        cut: the K windows.

    Returns:
        A window's number for each token, (N,).
    """
    tokens = np.arange(count)
    context = np.full((len(cut), count), -1, dtype=np.int64)  # (K, N)
    for number, (start, end) in enumerate(cut):
        inside = tokens[start:end]
        left = inside - start if start else np.full_like(inside, count)
        right = end - 1 - inside if end < count else np.full_like(inside, count)
        context[number, start:end] = np.minimum(left, right)
    found: npt.NDArray[np.int64] = context.argmax(axis=0)
    return found
