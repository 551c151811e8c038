"""Which teacher layer a student layer learns from."""

from __future__ import annotations

import subprocess
import sys

import pytest

from distill.capture.layer_map import LayerMap, candidates, make_layer_map
from distill.system.errors import ModelError


@pytest.mark.parametrize(
    ("student", "teacher", "layers"),
    [(4, 12, (3, 6, 9, 12)), (6, 12, (2, 4, 6, 8, 10, 12)), (6, 24, (4, 8, 12, 16, 20, 24))],
)
def test_uniform_takes_every_kth_layer_up_to_the_top(student, teacher, layers) -> None:
    layer_map = make_layer_map("uniform", student, teacher)
    assert layer_map.student == tuple(range(1, student + 1))
    assert layer_map.teacher == layers


@pytest.mark.parametrize(
    ("kind", "layers"),
    [("first", (1, 2, 3, 4)), ("last", (9, 10, 11, 12)), ("skip", (1, 4, 7, 10))],
)
def test_the_other_kinds(kind, layers) -> None:
    assert make_layer_map(kind, 4, 12).teacher == layers


@pytest.mark.parametrize("kind", ["uniform", "first", "last", "skip"])
def test_equal_depths_map_each_layer_to_itself(kind) -> None:
    assert make_layer_map(kind, 5, 5).pairs == tuple((i, i) for i in range(1, 6))


def test_skip_works_where_uniform_does_not() -> None:
    assert make_layer_map("skip", 5, 12).teacher == (1, 3, 5, 7, 9)


def test_uniform_error_names_the_depths_that_work() -> None:
    with pytest.raises(ModelError, match=r"\(12\).*\(5\).*work: 1, 2, 3, 4, 6, 12;"):
        make_layer_map("uniform", 5, 12)


@pytest.mark.parametrize("kind", ["uniform", "first", "last", "skip"])
def test_a_deeper_student_is_refused(kind) -> None:
    with pytest.raises(ModelError, match="8 layers and the teacher only 6"):
        make_layer_map(kind, 8, 6)


def test_a_list_is_taken_as_it_is_in_student_order() -> None:
    assert make_layer_map([[2, 5], [1, 5]], 3, 6) == LayerMap(((1, 5), (2, 5)))
    assert make_layer_map([(8, 1)], 8, 6).pairs == ((8, 1),)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([[4, 1]], r"\[4, 1\] names student layer 4; the student's layers are 1 to 3"),
        ([[1, 7]], r"\[1, 7\] names teacher layer 7; the teacher's layers are 1 to 6"),
        ([[0, 1]], "student layer 0"),
        ([[1, 2], [1, 3]], "student layer 1 stands in the list twice"),
        ([[1, 2, 3]], "is not a pair"),
        ([], "the list is empty"),
    ],
)
def test_faulty_lists_are_told(pairs, message) -> None:
    with pytest.raises(ModelError, match=message):
        make_layer_map(pairs, 3, 6)


def test_unknown_kinds_name_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"'unifrom'.*uniform, first, last, skip.*mean 'uniform'"):
        make_layer_map("unifrom", 3, 6)


def test_needs_no_torch() -> None:
    code = "import sys, distill.capture.layer_map; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("student", "teacher", "tables"),
    [
        (4, 12, {"uniform": (3, 6, 9, 12), "skip": (1, 4, 7, 10), "last": (9, 10, 11, 12)}),
        (6, 12, {"uniform": (2, 4, 6, 8, 10, 12), "skip": (1, 3, 5, 7, 9, 11)}),
        (6, 24, {"uniform": (4, 8, 12, 16, 20, 24), "skip": (1, 5, 9, 13, 17, 21)}),
        (3, 6, {"uniform": (2, 4, 6), "first": (1, 2, 3), "last": (4, 5, 6), "skip": (1, 3, 5)}),
        (2, 6, {"uniform": (3, 6), "first": (1, 2), "last": (5, 6), "skip": (1, 4)}),
    ],
)
def test_tables_of_the_usual_depths(student, teacher, tables) -> None:
    for kind, layers in tables.items():
        assert make_layer_map(kind, student, teacher).teacher == layers, kind


def test_a_search_tries_the_kinds_that_fit() -> None:
    assert [c.name for c in candidates(None, 3, 6)] == ["uniform", "first", "last", "skip"]
    assert [c.name for c in candidates(None, 5, 12)] == ["first", "last", "skip"]


def test_a_search_tries_each_map_once() -> None:
    """In a student of one layer ``uniform`` is ``last`` and ``first`` is ``skip``."""
    found = candidates(None, 1, 4)
    assert [c.name for c in found] == ["uniform = last", "first = skip"]
    assert [c.layer_map.teacher for c in found] == [(4,), (1,)]
    assert [c.name for c in candidates(["last", [[1, 4]]], 1, 4)] == ["last = 1<4"]


def test_a_search_with_nothing_that_fits_is_told() -> None:
    with pytest.raises(ModelError, match="no kind of map fits"):
        candidates(None, 8, 6)
    with pytest.raises(ModelError, match="uniform needs"):
        candidates(["first", "uniform"], 5, 12)
