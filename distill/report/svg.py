"""Turns matplotlib figures into inline SVG that takes its colours and font from the page.

Figures are drawn in stand-in colours (see :data:`INKS`) that become CSS variables, so that one
picture serves the light and the dark page; text stays text.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

#: CSS variable -> the stand-in colour that figures are drawn in.
INKS = {
    name: f"#0a0b{number:02d}"
    for number, name in enumerate(
        ["ink", "muted", "line", "card", "linear", "teacher", "baseline", "student", "export"]
        + [f"series-{i}" for i in range(1, 7)],
        start=10,
    )
}
_VARIABLES = {color: f"var(--{name})" for name, color in INKS.items()}

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.color": INKS["ink"],
    "axes.edgecolor": INKS["line"],
    "axes.facecolor": "none",
    "axes.labelcolor": INKS["muted"],
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": INKS["line"],
    "grid.linewidth": 0.8,
    "xtick.color": INKS["line"],
    "xtick.labelcolor": INKS["muted"],
    "ytick.color": INKS["line"],
    "ytick.labelcolor": INKS["muted"],
    "xtick.labelsize": 11.5,
    "ytick.labelsize": 11.5,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
}


@contextmanager
def chart_style(name: str) -> Iterator[None]:
    """Draw inside the block in the report's style; ``name`` keeps ids apart and stable."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        yield


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """A figure as an ``<svg>`` element for an HTML page.

    Args:
        figure: drawn within :func:`chart_style` of the same name.
        name: prefix of the ids, so that several charts fit one page.
        label: what the picture says, for those who do not see it.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'font:([^;"]*?px) [^;"]*', r"font:\1 var(--font)", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, variable)
    box = re.search(r'viewBox="([^"]*)"', text)
    if box is None:
        raise ValueError("matplotlib wrote an SVG without a viewBox")
    opening = (
        f'<svg class="chart" viewBox="{box[1]}" role="img" '
        f'aria-label="{html.escape(label, quote=True)}">'
    )
    return opening + text[text.index(">") + 1 :].strip()
