"""Labels that keep out of each other's way."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.report.labels import _box, _overlap, place_labels, spread

FRAME = (0.0, 0.0, 500.0, 300.0)


@pytest.mark.parametrize(
    "points",
    [
        [(100.0, 100.0), (101.0, 101.0)],
        [(100.0, 100.0), (100.0, 100.0), (101.0, 100.0)],
        [(490.0, 290.0), (490.0, 280.0)],
        [(50.0 + 3 * i, 150.0 + 2 * i) for i in range(6)],
    ],
)
def test_labels_of_close_points_do_not_cover_each_other(points):
    sizes = [(60.0, 13.0)] * len(points)
    boxes = [
        _box(point, size, place)
        for point, size, place in zip(
            points, sizes, place_labels(points, sizes, FRAME), strict=True
        )
    ]
    for index, box in enumerate(boxes):
        assert all(_overlap(box, other) == 0 for other in boxes[:index])
        assert FRAME[0] <= box[0]
        assert box[2] <= FRAME[2]
        assert FRAME[1] <= box[1]
        assert box[3] <= FRAME[3]


def test_a_lonely_label_stands_to_the_right():
    assert place_labels([(100.0, 100.0)], [(60.0, 13.0)], FRAME)[0][:2] == ("left", "center")


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=12))
def test_spread_keeps_the_order_and_the_distance(positions):
    moved = spread(positions, 10.0)
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    steps = [moved[b] - moved[a] for a, b in pairwise(order)]
    assert all(step >= 10.0 - 1e-6 for step in steps)


def test_what_is_apart_stays_where_it_is():
    assert spread([0.0, 50.0, 20.0], 10.0) == [0.0, 50.0, 20.0]
