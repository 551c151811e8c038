"""Puts text labels beside points so that they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]  # left, bottom, right, top

#: Directions a label may go in, best first: its alignment and the way it moves.
_SIDES = (
    ("left", "center", 1.0, 0.0),
    ("left", "bottom", 0.8, 0.8),
    ("left", "top", 0.8, -0.8),
    ("center", "bottom", 0.0, 1.2),
    ("center", "top", 0.0, -1.2),
    ("right", "center", -1.0, 0.0),
    ("right", "bottom", -0.8, 0.8),
    ("right", "top", -0.8, -0.8),
)
_RINGS = (1.0, 2.5, 4.0, 5.5)
_PLACES = [
    (ha, va, dx * ring, dy * ring) for ring in _RINGS for ha, va, dx, dy in _SIDES
]  # fmt: skip

Placement = tuple[str, str, float, float]  # horizontal, vertical alignment, offset x, offset y


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    *,
    gap: float = 9.0,
) -> list[Placement]:
    """Choose a side for each label, from the most crowded point to the least.

    Args:
        points: the points, in points (1/72 inch).
        sizes: width and height of each label.
        frame: what labels should stay within.
        gap: distance between a point and its label.

    Returns:
        For each point the alignment of its label and the offset from the point.
    """
    half = 0.7 * gap
    marks: list[Box] = [(x - half, y - half, x + half, y + half) for x, y in points]
    taken: list[Box] = []
    order = sorted(range(len(points)), key=lambda i: -_neighbours(points, i))
    chosen: dict[int, Placement] = {}
    for index in order:
        best: tuple[float, Placement, Box] | None = None
        for rank, (ha, va, dx, dy) in enumerate(_PLACES):
            place = (ha, va, dx * gap, dy * gap)
            box = _box(points[index], sizes[index], place)
            others = [b for i, b in enumerate(marks) if i != index]
            cost = sum(_overlap(box, other) for other in others) + 4 * _outside(box, frame)
            cost += 4 * sum(_overlap(box, other) for other in taken)
            cost += 0.5 * rank
            if best is None or cost < best[0]:
                best = (cost, place, box)
        if best is not None:
            chosen[index] = best[1]
            taken.append(best[2])
    return [chosen[i] for i in range(len(points))]


def spread(positions: Sequence[float], distance: float) -> list[float]:
    """Move numbers apart to at least ``distance``, keeping their order and staying close.

    Example:
        >>> spread([1.0, 1.0, 5.0], 1.0)
        [0.5, 1.5, 5.0]
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    groups: list[tuple[float, list[int]]] = []  # (centre, members)
    for index in order:
        groups.append((positions[index], [index]))
        while len(groups) > 1 and _touch(groups[-2], groups[-1], distance):
            last, before = groups.pop(), groups.pop()
            members = before[1] + last[1]
            groups.append((sum(positions[i] for i in members) / len(members), members))
    out = [0.0] * len(positions)
    for centre, members in groups:
        for rank, index in enumerate(members):
            out[index] = centre + (rank - (len(members) - 1) / 2) * distance
    return out


def _touch(low: tuple[float, list[int]], high: tuple[float, list[int]], distance: float) -> bool:
    top = low[0] + (len(low[1]) - 1) / 2 * distance
    bottom = high[0] - (len(high[1]) - 1) / 2 * distance
    return bottom - top < distance - 1e-9


def _neighbours(points: Sequence[tuple[float, float]], index: int) -> int:
    x, y = points[index]
    return sum(abs(x - u) < 90 and abs(y - v) < 30 for u, v in points)


def _box(point: tuple[float, float], size: tuple[float, float], place: Placement) -> Box:
    (x, y), (width, height), (ha, va, dx, dy) = point, size, place
    left = x + dx - {"left": 0.0, "center": width / 2, "right": width}[ha]
    bottom = y + dy - {"bottom": 0.0, "center": height / 2, "top": height}[va]
    return (left, bottom, left + width, bottom + height)


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: Box, frame: Box) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return area - _overlap(box, frame)
