"""Draws attention probabilities as a picture whose cells carry tokens on both sides.

Legend: H heads, L tokens.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.image import imsave

_WIDTH = 490.0  # of a panel that stands beside another
_SMALLEST, _LARGEST = 9.0, 24.0  # of a cell
_LETTERS = 12  # of a token; longer ones are cut
#: Between the light and the dark page's blue, so that one picture serves both.
_INK = (0x3F, 0x74, 0xF5)


def attention_svg(
    heads: npt.NDArray[np.float32], tokens: Sequence[str], *, name: str, label: str
) -> str:
    """One layer's attention as an ``<svg>`` element: every head and their mean, which is shown.

    The pictures lie on each other, hidden but for one; ``data-head`` says which is which (0 is
    the mean).

    Args:
        heads: probabilities (H, L, L), H at least 1.
        tokens: the L tokens.
        name: what the page's script knows the map by.
        label: what it shows, for those who do not see it.
    """
    size = len(tokens)
    letters = [shortened(token) for token in tokens]
    longest = max(len(text) for text in letters)
    cell = min(_LARGEST, max(_SMALLEST, (_WIDTH - 7.0 * longest) / size))
    font = min(12.0, cell * 0.95)
    margin = 0.62 * font * longest + 8
    side = cell * size
    pictures = [heads.mean(axis=0), *heads]
    parts = [
        f'<image x="{margin:g}" y="{margin:g}" width="{side:g}" height="{side:g}" '
        f'preserveAspectRatio="none" data-head="{number}" {"" if number == 0 else "hidden "}'
        f'href="{picture(values)}"/>'
        for number, values in enumerate(pictures)
    ]
    frame = (
        f'<rect class="frame" x="{margin:g}" y="{margin:g}" width="{side:g}" height="{side:g}"/>'
    )
    marks = "".join(
        _labels(text, margin, margin + (at + 0.5) * cell) for at, text in enumerate(letters)
    )
    whole = margin + side + 2
    # Small cells do not shrink further where there is little room: the panel scrolls.
    kind = "attention" if cell > _SMALLEST else "attention wide"
    return (
        f'<svg class="{kind}" width="{whole:.0f}" height="{whole:.0f}" '
        f'viewBox="0 0 {whole:.0f} {whole:.0f}" style="font-size:{font:.1f}px" role="img" '
        f'data-map="{name}" aria-label="{html.escape(label, quote=True)}">'
        f"{''.join(parts)}{frame}{marks}</svg>"
    )


def shortened(token: str) -> str:
    """A token for the margin, cut where it is very long."""
    return token if len(token) <= _LETTERS else f"{token[: _LETTERS - 1]}\u2026"


def _labels(text: str, margin: float, middle: float) -> str:
    """A token to the left of its row and, turned, above its column."""
    safe, before = html.escape(text), margin - 5
    return (
        f'<text class="row" x="{before:.1f}" y="{middle:.1f}">{safe}</text>'
        f'<text transform="translate({middle:.1f} {before:.1f}) rotate(-90)">{safe}</text>'
    )


def picture(values: npt.NDArray[np.float32]) -> str:
    """Probabilities (L, L) as a PNG in a data address: one colour, as opaque as its root is large.

    The root makes small probabilities visible; ``(opacity / 255) ** 2`` gives them back.
    """
    pixels = np.empty((*values.shape, 4), dtype=np.uint8)  # (L, L, red green blue opacity)
    pixels[..., :3] = _INK
    pixels[..., 3] = np.rint(255 * np.sqrt(np.clip(values, 0.0, 1.0)))
    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
