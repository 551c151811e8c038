import csv
import io
from pathlib import Path

import pytest

from distill.runtime.results import Lines, flattened
from distill.runtime.rows import Row

PREDICTION = {"label": "a", "probabilities": {"a": 0.75, "b": 0.25}}


def test_nested_fields_in_csv():
    row = {
        **PREDICTION,
        "entities": [{"text": "Ö", "start": 0}],
        "vector": [0.5, 1.0],
        "flags": {"x": True},
        "none": {},
        "gap": None,
    }
    assert flattened(row) == {
        "label": "a",
        "probabilities.a": 0.75,
        "probabilities.b": 0.25,
        "entities": '[{"text": "Ö", "start": 0}]',
        "vector": "[0.5, 1.0]",
        "flags": '{"x": true}',
        "none": "{}",
        "gap": None,
    }


def test_csv_has_one_header_and_reads_back():
    results = Lines(Path("out.csv"))
    texts = ['two\nlines, "so"', "שלום 😀"]
    both = results.lines([Row(text) for text in texts], [PREDICTION] * 2)
    both += results.lines([Row("third")], [PREDICTION])
    read = list(csv.DictReader(io.StringIO(both.decode("utf-8"), newline="")))
    assert [row["text"] for row in read] == [*texts, "third"]
    assert list(read[0]) == ["text", "label", "probabilities.a", "probabilities.b"]
    assert float(read[0]["probabilities.a"]) == 0.75
    again = Lines(Path("out.csv"))
    again.columns = results.columns
    assert again.lines([Row("third")], [PREDICTION]) == b"third,a,0.75,0.25\n"
    with pytest.raises(ValueError, match="differ in their fields: more"):
        again.lines([Row("x")], [{**PREDICTION, "more": 1}])
