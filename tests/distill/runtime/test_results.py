import csv
import io
import json
from pathlib import Path

import pytest

from distill.files.bad_rows import BadRow, bad_line
from distill.runtime.results import Results, fields, flattened
from distill.runtime.rows import Row
from distill.system.errors import DataError

PREDICTION = {"label": "a", "probabilities": {"a": 0.75, "b": 0.25}}


def test_fields_of_a_line():
    row = Row("one", "two", {"id": 7, "label": "gold"})
    assert list(fields(row, PREDICTION)) == [
        "id", "input.label", "text", "pair", "label", "probabilities"
    ]  # fmt: skip
    assert fields(row, PREDICTION, texts=False) == {"id": 7, "input.label": "gold", **PREDICTION}


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
    results = Results(Path("out.csv"))
    texts = ['two\nlines, "so"', "שלום 😀"]
    both = results.lines([Row(text) for text in texts], [PREDICTION] * 2)
    both += results.lines([Row("third")], [PREDICTION])
    read = list(csv.DictReader(io.StringIO(both.decode("utf-8"), newline="")))
    assert [row["text"] for row in read] == [*texts, "third"]
    assert list(read[0]) == ["text", "label", "probabilities.a", "probabilities.b"]
    assert float(read[0]["probabilities.a"]) == 0.75
    again = Results(Path("out.csv"), columns=results.columns)
    assert again.lines([Row("third")], [PREDICTION]) == b"third,a,0.75,0.25\n"
    with pytest.raises(ValueError, match="differ in their fields: more"):
        again.lines([Row("x")], [{**PREDICTION, "more": 1}])


def test_json_lines_hold_what_utf8_cannot():
    lines = Results(Path("out.jsonl")).lines([Row("é", kept={"id": "\ud800"})], [PREDICTION])
    assert json.loads(lines)["id"] == "\ud800"
    assert json.loads(bad_line(BadRow("a:1", "no", "\ud800"))) == {
        "place": "a:1", "reason": "no", "row": "\ud800"
    }  # fmt: skip


def test_packed_results_are_refused():
    with pytest.raises(DataError, match=r"out\.jsonl\.gz: results are not packed"):
        Results(Path("out.jsonl.gz"))
