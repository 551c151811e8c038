"""Student sizes by name or as ``LxD``; no torch, so that the light commands can use it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from distill.system.errors import ModelError, nearest


@dataclass(frozen=True)
class Size:
    """The shape of a BERT encoder."""

    layers: int  # number of transformer layers
    hidden: int  # width of the hidden states
    heads: int  # attention heads in every layer; they divide ``hidden``
    ffn: int  # neurons of the feed-forward block in every layer
    name: str  # how the size was written in the recipe


#: Published shapes: (layers, hidden, heads, ffn).
NAMED: dict[str, tuple[int, int, int, int]] = {
    "tinybert4": (4, 312, 12, 1200),
    "tinybert6": (6, 768, 12, 3072),
    "bert-tiny": (2, 128, 2, 512),
    "bert-mini": (4, 256, 4, 1024),
    "bert-small": (4, 512, 8, 2048),
    "bert-medium": (8, 512, 8, 2048),
    "bert-base": (12, 768, 12, 3072),
    "bert-large": (24, 1024, 16, 4096),
    "distilbert": (6, 768, 12, 3072),
    "minilm3": (3, 384, 12, 1536),
    "minilm6": (6, 384, 12, 1536),
    "minilm12": (12, 384, 12, 1536),
}

_SHAPE = re.compile(r"(\d{1,4})x(\d{1,5})(?:/(\d{1,3}))?(?:/(\d{1,5}))?", re.ASCII)
_HEAD_WIDTH = 64  # of every BERT from mini to large
_TINYBERT_WIDTH, _TINYBERT_HEADS, _TINYBERT_FFN = 312, 12, 1200
_MOST_LAYERS, _MOST_HIDDEN = 96, 8192


def sensible_heads(hidden: int, teacher: tuple[int, int] | None = None) -> int:
    """The number of attention heads for a width that was given without one.

    The teacher's number is taken where it divides the width, because attention maps are matched
    head by head; else 312 has TinyBERT's 12, and other widths as many heads as bring each nearest
    to 64 wide.

    Args:
        hidden: the student's width.
        teacher: the teacher's (width, heads), where known.
    """
    if teacher is not None and hidden % teacher[1] == 0:
        return teacher[1]
    if hidden == _TINYBERT_WIDTH:
        return _TINYBERT_HEADS
    divisors = [heads for heads in range(1, hidden + 1) if hidden % heads == 0]
    return min(divisors, key=lambda heads: (abs(hidden / heads - _HEAD_WIDTH), heads))


def resolve_size(text: str, *, head_dim_of: tuple[int, int] | None = None) -> Size:
    """The shape that ``text`` stands for.

    A name of :data:`NAMED` is that published shape. ``LxD`` has :func:`sensible_heads` and
    ``4 * D`` feed-forward neurons (312 wide: TinyBERT's 1200); ``LxD/H`` and ``LxD/H/F`` say them.

    Args:
        text: a name, or ``LxD``, ``LxD/H``, ``LxD/H/F``.
        head_dim_of: the teacher's (width, heads), where known.

    Raises:
        ModelError: the name is unknown, a number is out of range, or the heads do not divide the
            width.

    Example:
        >>> resolve_size("3x384", head_dim_of=(768, 12))
        Size(layers=3, hidden=384, heads=12, ffn=1536, name='3x384')
    """
    if text.lower() in NAMED:
        return Size(*NAMED[text.lower()], name=text.lower())
    match = _SHAPE.fullmatch(text.strip().lower())
    if match is None:
        raise ModelError(
            f"unknown student size '{text}'{nearest(text, NAMED) or ';'} write LAYERSxWIDTH such "
            "as 3x384 (or 3x384/12/1536 with heads and feed-forward neurons), or one of: "
            f"{', '.join(NAMED)}"
        )
    layers, hidden = int(match[1]), int(match[2])
    if not (1 <= layers <= _MOST_LAYERS and 1 <= hidden <= _MOST_HIDDEN):
        raise ModelError(
            f"student size '{text}': layers must be 1 to {_MOST_LAYERS} "
            f"and the width 1 to {_MOST_HIDDEN}"
        )
    heads = int(match[3]) if match[3] else sensible_heads(hidden, head_dim_of)
    if heads == 0 or hidden % heads:
        near = [count for count in range(1, hidden + 1) if hidden % count == 0]
        close = sorted(sorted(near, key=lambda count: abs(count - heads))[:4])
        raise ModelError(
            f"student size '{text}': {heads} heads do not divide the width {hidden}; "
            f"{', '.join(map(str, close))} would"
        )
    ffn = int(match[4]) if match[4] else _TINYBERT_FFN if hidden == _TINYBERT_WIDTH else 4 * hidden
    if ffn == 0:
        raise ModelError(f"student size '{text}': the feed-forward block needs at least 1 neuron")
    return Size(layers, hidden, heads, ffn, text.strip().lower())
