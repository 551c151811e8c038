"""The report's error analysis: confusions, scores by label, calibration, disagreements, figures.

Everything is made of ``results.json`` and of the files that the evaluate stage left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from distill.evaluation.error_analysis import Predictions, read_predictions
from distill.evaluation.parts import Confusion, Disagreement, LabelScore
from distill.evaluation.results import BASELINE, TEACHER, ModelRow, Results, is_teacher
from distill.report import numbers
from distill.report.figures import COLORS, as_image, canvas, kind_of, shortened, styled
from distill.report.run_data import RunData
from distill.tasks import decoder_class
from distill.tasks.decoder import Scatter

#: Labels up to which every cell of the confusion matrix carries its number.
_NUMBERED = 12
#: Labels up to which the matrix is drawn at all.
_DRAWN = 60
_MOST_PAIRS = 12
_MOST_LABELS = 24
#: Characters of a second text that are shown, and of these before an answer.
_SHOWN, _BEFORE = 320, 100
#: Points of a scatter: more make the page heavy and cover each other.
_MOST_POINTS = 1200
_DASHED = (0, (4, 4))


def error_sections(run: RunData) -> dict[str, Any]:
    """What the template needs; every entry is empty where there is nothing to show."""
    results = run.results
    if results is None:
        names = ("confusions", "by_label", "calibration", "differ", "scatter", "words")
        return dict.fromkeys(names)
    return {
        "words": decoder_class(results.task).words,
        "confusions": _confusions(results),
        "by_label": _by_label(results),
        "calibration": _calibrations(results),
        "differ": _disagreements(results, run.disagreements),
        "scatter": _scatter(run),
    }


def _confusions(results: Results) -> dict[str, Any] | None:
    found = results.confusion
    if found is None:
        return None
    labels = list(results.final.label_scores) or list(found.rows)
    # What is predicted in the place of entities is not only their types.
    others = {name for true, row in found.rows.items() for name in (true, *row)} - set(labels)
    labels += sorted(others)
    matrix = [[found.rows.get(true, {}).get(guess, 0) for guess in labels] for true in labels]
    numbered = len(labels) <= _NUMBERED
    drawn = not numbered and len(labels) <= _DRAWN
    rows = [_row(true, matrix[at], at) for at, true in enumerate(labels)]
    return {
        "labels": labels if numbered else [],
        "rows": rows if numbered else [],
        "chart": _confusion_chart(matrix, labels) if drawn else None,
        "pairs": _pairs(found) if len(labels) > 2 else [],
        "count": len(labels),
    }


def _row(true: str, counts: Sequence[int], at: int) -> dict[str, Any]:
    whole = sum(counts)
    return {
        "label": true,
        "cells": [
            {
                "count": f"{count:,}" if count else "",
                "kind": "right" if guess == at else "wrong",
                "color": _color(count / whole if whole else 0.0, right=guess == at),
                "share": f"{count / whole:.1%}" if whole else "",
            }
            for guess, count in enumerate(counts)
        ],
    }


def _color(share: float, *, right: bool) -> str:
    """A cell's background: mistakes, whose shares are small, in another colour and stronger."""
    name, strength = ("student", 62) if right else ("baseline", 130)
    return f"color-mix(in srgb, var(--{name}) {min(100.0, share * strength):.1f}%, transparent)"


def _pairs(found: Confusion) -> list[list[str]]:
    every = [
        (count, true, guess, sum(row.values()))
        for true, row in found.rows.items()
        for guess, count in row.items()
        if guess != true
    ]
    every.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    return [
        [true, guess, f"{count:,}", numbers.percent(count / whole)]
        for count, true, guess, whole in every[:_MOST_PAIRS]
    ]


def _by_label(results: Results) -> dict[str, Any] | None:
    scores = results.final.label_scores
    if not scores:
        return None
    teacher = {} if is_teacher(results.final.name) else results.one.label_scores
    if results.one.name != TEACHER:
        teacher = {}
    thresholds = results.final.thresholds
    ordered = sorted(scores, key=lambda label: scores[label].f1)
    shown = ordered[:_MOST_LABELS] if len(scores) > _MOST_LABELS else list(scores)
    header = ["precision", "recall", "F1", *(["F1 - teacher's"] if teacher else [])]
    return {
        "cut": len(scores) > _MOST_LABELS,
        "count": len(scores),
        "header": [*header, *(["given above"] if thresholds else [])],
        "rows": [
            _label_row(label, scores, teacher)
            + ([f"{thresholds[label]:.2f}"] if thresholds else [])
            for label in shown
        ],
    }


def _label_row(
    label: str, scores: Mapping[str, LabelScore], teacher: Mapping[str, LabelScore]
) -> list[str]:
    own, theirs = scores[label], teacher.get(label)
    cells = [label, f"{own.support:,}", *(numbers.score(v) for v in (own.precision, own.recall))]
    cells.append(numbers.score(own.f1))
    return [*cells, *([f"{own.f1 - theirs.f1:+.4f}"] if theirs else [])]


def _calibrations(results: Results) -> dict[str, Any] | None:
    rows = [row for row in results.models if row.calibration is not None]
    if not rows:
        return None
    drawn = [row for row in rows if _is_drawn(results, row)]
    return {
        "kinds": [kind_of(row) for row in rows],
        "rows": [
            [row.name, numbers.score(row.calibration.ece), *_sureness(row)]
            for row in rows
            if row.calibration is not None
        ],
        "chart": _reliability_chart(drawn),
    }


def _is_drawn(results: Results, row: ModelRow) -> bool:
    """Teacher, baseline, the last student before export, and the final model."""
    students = [r for r in results.models if kind_of(r) == "student"]
    wanted = {TEACHER, BASELINE, results.final.name, *(r.name for r in students[-1:])}
    return row.name in wanted and (not is_teacher(row.name) or row.name == TEACHER)


def _sureness(row: ModelRow) -> list[str]:
    """Mean confidence, how often it is right, and which way it errs."""
    bins = row.calibration.bins if row.calibration else []
    count = sum(one.rows for one in bins) or 1
    sure = sum(one.rows * one.confidence for one in bins) / count
    right = sum(one.rows * one.accuracy for one in bins) / count
    return [numbers.percent(sure), numbers.percent(right), f"{100 * (sure - right):+.1f}"]


def _disagreements(results: Results, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    found = results.disagreement
    if is_teacher(results.final.name) or (not rows and found is None):
        return None
    return {
        "model": results.final.name,
        "counts": _counts(found) if found else "",
        "rows": [
            {
                "text": " | ".join(_texts(row)),
                "label": row["label"],
                "teacher": _answer(row["teacher"], row["label"]),
                "model": _answer(row["model"], row["label"]),
            }
            for row in rows
        ],
    }


def _texts(row: Mapping[str, Any]) -> list[str]:
    """A row's text or both; of a long one with answers the part around these."""
    texts = [str(row["text"])]
    if "text_pair" not in row:
        return texts
    pair = str(row["text_pair"])
    starts = [row[role]["start"] for role in ("teacher", "model") if "start" in row[role]]
    if not starts or len(pair) <= _SHOWN:
        return [*texts, pair]
    first = min(max(0, min(starts) - _BEFORE), len(pair) - _SHOWN)
    last = first + _SHOWN
    before, after = "... " if first else "", " ..." if last < len(pair) else ""
    return [*texts, f"{before}{pair[first:last]}{after}"]


def _counts(found: Disagreement) -> str:
    if not found.rows:
        return "Teacher and final model agree on every example"
    return (
        f"Teacher and final model answer {found.rows:,} examples differently "
        f"({numbers.percent(found.share)}): in {found.teacher_right:,} the teacher is right, in "
        f"{found.model_right:,} the final model, in {found.neither_right:,} neither"
    )


def _answer(answer: Mapping[str, Any], label: str) -> dict[str, str]:
    sure = answer.get("confidence")
    right = answer.get("right", answer["prediction"] == label)
    return {
        "prediction": str(answer["prediction"]),
        "sure": "" if sure is None else numbers.percent(float(sure)),
        "right": "right" if right else "",
    }


def _scatter(run: RunData) -> Markup | None:
    if run.results is None or run.predictions is None:
        return None
    scatter = decoder_class(run.results.task).words.scatter
    if scatter is None:
        return None
    predictions = read_predictions(run.predictions)
    return _scatter_chart(predictions, run.results.final.name, scatter)


@styled()
def _confusion_chart(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> Markup:
    """The confusion matrix of many labels, each row (a true label) by its own sum."""
    counts = np.asarray(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [shortened(label) for label in labels]
    side, font = 8.0, min(10.0, 400 / len(names))
    figure, axes = canvas(side, side)
    # The root makes the small shares of errors visible.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0.0, vmax=1.0)
    axes.grid(visible=False)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=font)
    axes.set_yticks(range(len(names)), names, fontsize=font)
    axes.set(xlabel="predicted", ylabel="true")
    right = float(np.trace(counts) / max(counts.sum(), 1))
    label = f"Confusion matrix of {len(names)} labels, true ones in rows: {right:.1%}"
    return as_image(figure, f"{label} on the diagonal")


@styled()
def _reliability_chart(rows: Sequence[ModelRow]) -> Markup:
    """How often each model is right by how sure it is; on the diagonal it is honest."""
    figure, axes = canvas(7.6, 5.2)
    axes.plot([0, 1], [0, 1], color=COLORS["muted"], linewidth=1, linestyle=_DASHED)
    kinds = [kind_of(row) for row in rows]
    for number, row in enumerate(rows):
        if row.calibration is None:
            continue
        # A second model of a kind gets another colour.
        color = "#b4388f" if kinds[number] in kinds[:number] else COLORS[kinds[number]]
        bins = row.calibration.bins
        whole = sum(one.rows for one in bins)
        sure, right = [one.confidence for one in bins], [one.accuracy for one in bins]
        axes.plot(sure, right, color=color, linewidth=1.6, label=row.name)
        axes.scatter(sure, right, s=[16 + 220 * one.rows / whole for one in bins], color=color)
    axes.set_ylim(-0.03, 1.03)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("confidence (larger points: more examples)")
    axes.set_ylabel("share that is correct")
    axes.legend(loc="lower right")
    errors = "; ".join(
        f"{row.name} {numbers.score(row.calibration.ece)}" for row in rows if row.calibration
    )
    return as_image(figure, f"Reliability, calibration errors: {errors}")


@styled()
def _scatter_chart(predictions: Predictions, model: str, scatter: Scatter) -> Markup:
    """Numbers predicted by the teacher and by a model, against the true ones."""
    true = np.asarray(predictions.shared["targets"], dtype=np.float64)
    rows = np.unique(np.linspace(0, len(true) - 1, min(len(true), _MOST_POINTS)).astype(int))
    names = [name for name in (TEACHER, model) if name in predictions.models]
    figure = Figure(figsize=(15.0, 6.4), layout="constrained")
    panels = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)[0]
    words = []
    for axes, name, color in zip(panels, names, ("teacher", "student"), strict=False):
        values = predictions.models[name]["outputs"][:, 0]
        if scatter.same_scale:
            ends = [true.min(), true.max()]
            axes.plot(ends, ends, color=COLORS["muted"], linewidth=1, linestyle=_DASHED)
        axes.scatter(true[rows], values[rows], s=16, color=COLORS[color], alpha=0.5, linewidths=0)
        axes.set_title(name, fontsize=13)
        axes.set_xlabel(scatter.x)
        off = f" is {np.abs(values - true).mean():.3f} off in the mean"
        words.append(f"{name}{off}" if scatter.same_scale else name)
    panels[0].set_ylabel(scatter.y)
    return as_image(figure, f"{scatter.title}, {len(true):,} examples: {'; '.join(words)}")
