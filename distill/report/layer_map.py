"""Draws which teacher layer each student layer learns from, as two columns with lines."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from distill.report.run_data import StageFacts

_BOX_WIDTH, _BOX_HEIGHT, _STEP = 150.0, 26.0, 36.0
_TEACHER_X, _STUDENT_X, _TOP = 10.0, 360.0, 34.0
_WIDTH = _STUDENT_X + _BOX_WIDTH + 10


@dataclass(frozen=True)
class DrawnMap:
    """One layer map and the stages that use it.

    Args:
        stages: names of the stages.
        svg: the drawing, an ``<svg>`` element.
        text: the same in words.
    """

    stages: tuple[str, ...]
    svg: str
    text: str


def draw_maps(stages: Iterable[StageFacts]) -> list[DrawnMap]:
    """Draw every distinct layer map once."""
    groups: dict[tuple[tuple[tuple[int, int], ...], int, int], list[str]] = {}
    for stage in stages:
        if not stage.layer_map:
            continue
        teacher = max(stage.teacher_layers or 0, *(t for _, t in stage.layer_map))
        student = max(stage.student_layers or 0, *(s for s, _ in stage.layer_map))
        groups.setdefault((stage.layer_map, teacher, student), []).append(stage.name)
    return [
        DrawnMap(tuple(names), draw(pairs, teacher, student), in_words(pairs))
        for (pairs, teacher, student), names in groups.items()
    ]


def in_words(pairs: Sequence[tuple[int, int]]) -> str:
    """The map as ``1 from 2, 2 from 4, 3 from 6``."""
    return ", ".join(f"{student} from {teacher}" for student, teacher in pairs)


def draw(pairs: Sequence[tuple[int, int]], teacher_layers: int, student_layers: int) -> str:
    """The map as an ``<svg>`` element; layer 1 is at the bottom, as data flow upwards."""
    rows = max(teacher_layers, student_layers)
    height = _TOP + rows * _STEP + 6
    learned = {teacher for _, teacher in pairs}
    learning = {student for student, _ in pairs}
    teacher_y = _heights(teacher_layers, rows)
    student_y = _heights(student_layers, rows)
    parts = [
        _title(_TEACHER_X, f"teacher, {teacher_layers} layers"),
        _title(_STUDENT_X, f"student, {student_layers} layers"),
        *(_line(student_y[s - 1], teacher_y[t - 1]) for s, t in pairs),
        *(
            _box(_TEACHER_X, y, number, "teacher", used=number in learned)
            for number, y in enumerate(teacher_y, start=1)
        ),
        *(
            _box(_STUDENT_X, y, number, "student", used=number in learning)
            for number, y in enumerate(student_y, start=1)
        ),
    ]
    label = html.escape(f"Student layers learn from teacher layers: {in_words(pairs)}", quote=True)
    return (
        f'<svg class="layer-map" viewBox="0 0 {_WIDTH:g} {height:g}" role="img" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )


def _heights(layers: int, rows: int) -> list[float]:
    """Vertical middles of a column's boxes from layer 1 (bottom) up, spread over all rows."""
    stretch = (rows - 1) / (layers - 1) if layers > 1 else 0.0
    start = 0.0 if layers > 1 else (rows - 1) / 2
    return [
        _TOP + (rows - 1 - start - index * stretch) * _STEP + _STEP / 2 for index in range(layers)
    ]


def _title(x: float, text: str) -> str:
    return f'<text class="column" x="{x + _BOX_WIDTH / 2:g}" y="18">{text}</text>'


def _box(x: float, y: float, number: int, kind: str, *, used: bool) -> str:
    faded = "" if used else " unused"
    return (
        f'<g class="{kind}{faded}"><rect x="{x:g}" y="{y - _BOX_HEIGHT / 2:g}" '
        f'width="{_BOX_WIDTH:g}" height="{_BOX_HEIGHT:g}" rx="7"/>'
        f'<text x="{x + _BOX_WIDTH / 2:g}" y="{y + 4.5:g}">layer {number}</text></g>'
    )


def _line(student_y: float, teacher_y: float) -> str:
    start, end = _TEACHER_X + _BOX_WIDTH, _STUDENT_X
    bend = (end - start) / 2
    return (
        f'<path class="map-line" d="M{start:g} {teacher_y:g}C{start + bend:g} {teacher_y:g} '
        f'{end - bend:g} {student_y:g} {end:g} {student_y:g}"/>'
    )
