"""Which layers of its teacher a student begins with."""

from __future__ import annotations

import pytest

from distill.system.errors import ModelError
from students.from_teacher import choose_layers


@pytest.mark.parametrize(
    ("student", "teacher", "layers"),
    [
        (4, 12, (3, 6, 9, 12)),
        (4, 6, (2, 3, 5, 6)),
        (5, 12, (3, 5, 8, 10, 12)),
        (1, 6, (6,)),
        (6, 6, (1, 2, 3, 4, 5, 6)),
    ],
)
def test_uniform_spreads_evenly_and_ends_at_the_top(student, teacher, layers) -> None:
    assert choose_layers("uniform", student, teacher) == layers


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([1, 2], "names 2 teacher layers for a student of 3"),
        ([1, 2, 7], "the teacher has no layer 7"),
        ("middle", "unknown kind 'middle'"),
    ],
)
def test_faulty_choices_of_layers_are_told(layers, message) -> None:
    with pytest.raises(ModelError, match=message):
        choose_layers(layers, 3, 6)
