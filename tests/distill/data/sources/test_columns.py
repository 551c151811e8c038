"""Columns on disk hold what was written, whatever rows are taken, and take no memory."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from distill.data.sources.columns import Column, ColumnWriter
from distill.data.sources.files import read_files
from distill.recipe.schema import DataConfig

TEXTS = st.text() | st.sampled_from(["NA", "None", "null", "", "\0", '\0"x"', "half \ud83d", "\0{"])
VALUES: Any = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


def written(values: list[Any]) -> Any:
    writer = ColumnWriter(["x"])
    for value in values:
        writer.append({"x": value})
    return writer.columns()["x"]


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, max_size=12), st.data())
def test_values_are_those_that_were_written(values: list[Any], data: st.DataObject) -> None:
    column = written(values)
    assert list(column) == values == [column[place] for place in range(len(column))]
    assert column == values
    assert column[1:-1] == values[1:-1]
    assert column[::-2] == values[::-2]
    rows = data.draw(st.lists(st.integers(0, max(len(values) - 1, 0)), max_size=9 * bool(values)))
    taken = column.take(rows)
    assert taken == [values[row] for row in rows]
    assert taken.take(range(len(rows))[::-1]) == [values[row] for row in rows[::-1]]
    assert pickle.loads(pickle.dumps(taken)) == [values[row] for row in rows]


def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        file.writelines(f"{number} {'word ' * 200},x\n" for number in range(20_000))
    assert path.stat().st_size > 20e6
    tracemalloc.start()
    table = read_files(DataConfig(source="files", train=str(path)), ["text"])["train"]
    texts = table.take(range(0, 20_000, 2)).columns["text"]
    assert isinstance(texts, Column)
    assert sum(map(len, texts)) > 10e6
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6
