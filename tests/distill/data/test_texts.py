import math

import pytest

from distill.data.sources.table import Table, id_faults, text_fault, text_faults
from distill.system.errors import DataError


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "\U0001f600",
        "\u200f\u05e9\u05dc\u05d5\u05dd",
        "\u0645\u0631\u062d\u0628\u0627",
        "x" * 100_000,
    ],
)
def test_emoji_right_to_left_and_long_texts_are_fine(text):
    assert text_fault(text) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "is empty"),
        (" \t\n", "is empty"),
        ("a\0b", "holds a NUL character"),
        ("half \ud83d", "holds half a surrogate pair"),
        (None, "is missing"),
        (math.nan, "is missing (NaN)"),
        (5, "holds int instead of text"),
        (["a"], "holds list instead of text"),
    ],
)
def test_what_is_no_text(value, expected):
    assert text_fault(value) == expected
    table = Table("t.csv", {"text": ["fine", value]}, ["text"])
    assert text_faults(table, "text", "data.columns.text") == {1: f"column 'text' {expected}"}


def test_ids_stand_once():
    values = ["a", "b", "a", None, "", 7, 7, ["x"], math.nan]
    table = Table("t.csv", {"id": values}, ["id"], lines=range(2, 11))
    missing = "the id is missing in column 'id'"
    assert id_faults(table, "id") == {
        2: "the id 'a' stands twice, first at t.csv:2",
        3: missing,
        4: missing,
        6: "the id 7 stands twice, first at t.csv:7",
        7: "the id is list; a name or a number is expected",
        8: missing,
    }
    with pytest.raises(DataError, match=r"no column 'key'.*choose one with data.columns.id"):
        id_faults(table, "key")
