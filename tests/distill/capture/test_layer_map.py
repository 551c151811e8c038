"""Which teacher layer a student layer learns from."""

from __future__ import annotations

import pytest

from distill.capture.layer_map import LayerMap, candidates, make_layer_map
from distill.system.errors import ModelError


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
    assert list(candidates(None, 3, 6)) == ["uniform", "first", "last", "skip"]
    assert list(candidates(None, 5, 12)) == ["first", "last", "skip"]


def test_a_search_tries_each_map_once() -> None:
    """In a student of one layer ``uniform`` is ``last`` and ``first`` is ``skip``."""
    found = candidates(None, 1, 4)
    assert list(found) == ["uniform = last", "first = skip"]
    assert [one.teacher for one in found.values()] == [(4,), (1,)]
    assert list(candidates(["last", [[1, 4]]], 1, 4)) == ["last = 1<4"]


def test_a_search_with_nothing_that_fits_is_told() -> None:
    with pytest.raises(ModelError, match="no kind of map fits"):
        candidates(None, 8, 6)
    with pytest.raises(ModelError, match="uniform needs"):
        candidates(["first", "uniform"], 5, 12)
