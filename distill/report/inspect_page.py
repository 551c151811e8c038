"""The page of one text: predictions, attributions and attention of teacher and student."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from distill.inspection.result import Attribution, Inspection, Map, Reading
from distill.report import numbers
from distill.report.figures import as_image, shortened, styled
from distill.report.page import fact, render_page
from distill.system import atomic
from distill.tasks import decoder_class

_MOST_LABELS = 6
_MOST_TOKENS = 14
#: The strongest colour behind a token; more would hide the letters.
_STRONGEST = 0.72
_FOR, _AGAINST = "63,116,245", "231,111,41"


def write_page(path: Path, inspection: Inspection) -> Path:
    """Write the page."""
    atomic.write_text(path, render(inspection))
    return path


def render(inspection: Inspection) -> str:
    """The page as text."""
    return render_page(
        "inspect.html.j2",
        inspection=inspection,
        facts=_facts(inspection),
        readings=[_reading(one) for one in inspection.readings],
        strongest=_strongest(inspection),
        layers=[_layer(inspection, student, teacher) for student, teacher in inspection.layers],
        notes=inspection.notes,
    )


def _facts(inspection: Inspection) -> list[dict[str, str]]:
    facts = [
        fact(f"{one.role} says".capitalize(), one.predicted, _sureness(one, inspection.task))
        for one in inspection.readings
    ]
    overlaps = [inspection.attention_overlap(*pair) for pair in inspection.layers]
    known = [value for value in overlaps if value is not None]
    if inspection.attribution_cosine is not None:
        detail = "cosine of their attributions; 1 is the same"
        facts.append(fact("Same tokens count", f"{inspection.attribution_cosine:.2f}", detail))
    if known:
        share = numbers.percent(sum(known) / len(known))
        facts.append(fact("Attention in common", share, "mean over mapped layers and tokens"))
    return facts


def _sureness(reading: Reading, task: str) -> str:
    if not decoder_class(task).probabilities:
        return "the predicted value"
    return f"with {numbers.percent(max(reading.outputs.values()))}"


def _reading(reading: Reading) -> dict[str, Any]:
    best = sorted(reading.outputs.items(), key=lambda entry: -entry[1])
    most = max((abs(value) for value in reading.outputs.values()), default=1.0)
    is_share = all(0 <= value <= 1 for value in reading.outputs.values())
    attribution = reading.attribution
    return {
        "role": reading.role,
        "folder": reading.folder,
        "depth": reading.depth,
        "predicted": reading.predicted,
        "labels": [
            (label, numbers.percent(value) if is_share else f"{value:.3f}",
             100 * abs(value) / (1 if is_share else most))
            for label, value in best[:_MOST_LABELS]
        ],
        "left": max(0, len(best) - _MOST_LABELS),
        "tokens": _chips(reading),
        "output": f"{attribution.output:+.2f}",
        "baseline": f"{attribution.baseline:+.2f}",
        "difference": f"{attribution.difference:+.2f}",
        "steps": attribution.steps,
        "gap": f"{abs(attribution.gap):.2g}",
    }  # fmt: skip


def _largest(attribution: Attribution) -> float:
    return max((abs(value) for value in attribution.values), default=0.0) or 1.0


def _chips(reading: Reading) -> list[dict[str, Any]]:
    """The tokens as they are shown: pieces of a word without a gap between them."""
    values, largest = reading.attribution.values, _largest(reading.attribution)
    chips = []
    for at, (token, value) in enumerate(zip(reading.tokens, values, strict=True)):
        piece = token.startswith("##")
        special = token.startswith("[") and token.endswith("]") and len(token) > 2
        ink = _FOR if value > 0 else _AGAINST
        chips.append(
            {
                "text": token.removeprefix("##"),
                "kind": "special" if special else "piece" if piece else "",
                "style": f"background:rgba({ink},{_STRONGEST * abs(value) / largest:.3f})",
                "title": f"{token}: {value:+.3f}",
                "second": at > 0 and reading.segments[at] != reading.segments[at - 1],
            }
        )
    return chips


def _strongest(inspection: Inspection) -> list[dict[str, Any]]:
    """The tokens that count most with either model, in the text's order, each as bars."""
    readings = inspection.readings if inspection.same_tokens else (inspection.student,)
    shares = [
        [value / _largest(one.attribution) for value in one.attribution.values] for one in readings
    ]
    weight = [
        max(abs(share[at]) for share in shares) for at in range(len(inspection.student.tokens))
    ]
    chosen = sorted(range(len(weight)), key=lambda at: -weight[at])[:_MOST_TOKENS]
    return [
        {
            "token": inspection.student.tokens[at],
            "bars": [
                _bar(share[at], one.attribution.values[at])
                for share, one in zip(shares, readings, strict=True)
            ],
        }
        for at in sorted(chosen)
        if weight[at] > 0
    ]


def _bar(share: float, value: float) -> dict[str, str]:
    width = 50 * abs(share)
    left = 50.0 if share >= 0 else 50 - width
    return {
        "style": f"left:{left:.2f}%;width:{width:.2f}%",
        "kind": "for" if share >= 0 else "against",
        "value": f"{value:+.2f}",
    }


def _layer(inspection: Inspection, student: int, teacher: int | None) -> dict[str, Any]:
    maps = (
        [] if inspection.teacher is None or teacher is None else [_map(inspection.teacher, teacher)]
    )
    overlap = inspection.attention_overlap(student, teacher)
    return {
        "student": student,
        "teacher": teacher,
        "overlap": None if overlap is None else numbers.percent(overlap),
        "maps": [*maps, _map(inspection.student, student)],
    }


def _map(reading: Reading, layer: int) -> dict[str, Any]:
    heads = reading.attention[layer]
    label = (
        f"Attention of {reading.role} layer {layer}, {len(heads)} heads: each row is how much "
        f"a token takes from each token; {_in_words(reading, layer)}"
    )
    return {
        "role": reading.role,
        "layer": layer,
        "heads": len(heads),
        "chart": attention_chart(heads, reading.tokens, label) if len(heads) else None,
    }


@styled()
def attention_chart(heads: Map, tokens: Sequence[str], label: str) -> Markup:
    """One layer's attention: the heads' mean with the tokens beside it, then every head.

    The colour is the root of a probability, so that small ones show too.

    Args:
        heads: probabilities (H, L, L), H at least 1; row i is what token i takes from each token.
        tokens: the L tokens.
        label: what it shows, for those who do not see it.
    """
    names, length = [shortened(token) for token in tokens], len(tokens)
    columns = min(4, len(heads))
    rows = math.ceil(len(heads) / columns)
    height = 7.0 * rows / columns
    figure = Figure(figsize=(7.0, 7.0 + height), layout="constrained")
    mean, each = figure.subplots(2, 1, height_ratios=(7.0, height))
    mean.imshow(np.sqrt(heads.mean(axis=0)), cmap="Blues", vmin=0.0, vmax=1.0)
    font = min(11.0, 380 / length)
    mean.set_xticks(range(length), names, rotation=90, fontsize=font)
    mean.set_yticks(range(length), names, fontsize=font)
    mean.xaxis.tick_top()
    mean.grid(visible=False)
    each.axis("off")
    gap = max(1, length // 8)
    tiles = np.full((rows * (length + gap), columns * (length + gap)), np.nan)  # gaps stay white
    for number, head in enumerate(heads):
        row, column = divmod(number, columns)
        top, left = row * (length + gap) + gap, column * (length + gap)
        tiles[top : top + length, left : left + length] = np.sqrt(head)
        each.text(left, top - 1, f"head {number + 1}", fontsize=9)
    each.imshow(tiles, cmap="Blues", vmin=0.0, vmax=1.0)
    return as_image(figure, label)


def _in_words(reading: Reading, layer: int) -> str:
    """Which token gets most, for those who do not see the picture."""
    mean = reading.mean_attention(layer)
    if mean is None:
        return ""
    received: Sequence[float] = mean.mean(axis=0).tolist()
    at = max(range(len(received)), key=lambda index: received[index])
    return f"most goes to {reading.tokens[at]} ({numbers.percent(received[at])})"
