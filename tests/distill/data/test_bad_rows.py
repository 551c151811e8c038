"""Bad rows are refused with their place, or set aside as they are; never changed, never lost."""

import json
import math
from functools import partial

import pytest
from bad_rows import refused_or_set_aside

from distill.data.bad_rows import write_bad_rows
from distill.files.bad_rows import BadRow
from distill.recipe.schema import Columns, DataConfig
from distill.system.errors import DataError
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.load import load_task_data

TASK = ClassificationTask(kind="classification", labels=["no", "yes"])
GOOD = [{"id": n, "text": f"text {n}", "label": ("no", "yes")[n % 2]} for n in range(20)]


def load(path, policy="skip", task=TASK, **columns):
    data = DataConfig(
        source="files", train=str(path), columns=Columns(**columns), on_bad_row=policy
    )
    return load_task_data(data, task, seed=0)


def issue(path):
    with pytest.raises(DataError) as error:
        load(path)
    return str(error.value)


def all_texts(found):
    return sorted([*found.train.texts, *found.validation.texts])


def jsonl(tmp_path, bad, good=GOOD):
    """The bad lines stand after the first ten good ones."""
    lines = [json.dumps(row) for row in good]
    lines[10:10] = [row if isinstance(row, str) else json.dumps(row) for row in bad]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(line.encode("utf-8") + b"\n" for line in lines))
    return path


def row(text="a text", label="no", id="x"):
    return {"id": id, "text": text, "label": label}


#: What stands on line 11, and what is said of it.
JSONL_FAULTS = [
    ("{broken", "not JSON (Expecting property name enclosed in double quotes, column 2); each"),
    ("[1, 2]", 'list instead of an object such as {"text": "...", "label": "..."}'),
    ('{"text": "a\0b", "label": "no"}', "a NUL byte at byte "),
    ({"text": "no label"}, "the label is missing in column 'label'"),
    (row(label=math.nan), "the label is missing (NaN) in column 'label'"),
    (row(label="NaN"), "the label is 'NaN', which stands for a missing number; where it is a name"),
    (row(label="maybe"), "the label 'maybe' is unknown; labels are 'no', 'yes'"),
    (row(label=7), "the label '7' is unknown; labels are 'no', 'yes'; other rows name theirs"),
    (row(label=0.5), "the label is 0.5; a name or an integer is expected"),
    (row(text=""), "column 'text' is empty"),
    (row(text=None), "column 'text' is missing"),
    (row(text=math.nan), "column 'text' is missing (NaN)"),
    (row(text="a\0b"), "column 'text' holds a NUL character"),
    (row(text="half \ud83d"), "column 'text' holds half a surrogate pair"),
    (row(id=3), "the id 3 occurs twice, first at {path}:4"),
    (row(id=None), "the id is missing in column 'id'"),
    (row(id=["x"]), "the id is list; a name or a number is expected"),
    (row(text=["a"]), "column 'text' holds list instead of text"),
    (row(text=" \t\n"), "column 'text' is empty"),
    (row(text=5), "column 'text' holds int instead of text"),
]


@pytest.mark.parametrize(("content", "expected"), JSONL_FAULTS)
def test_jsonl(tmp_path, content, expected):
    path = jsonl(tmp_path, [content])
    expected = expected.format(path=path) if "{path}" in expected else expected
    found = refused_or_set_aside(partial(load, id="id"), path, f"{path}:11", expected)
    assert all_texts(found) == sorted(one["text"] for one in GOOD)
    (bad,) = found.bad
    if isinstance(content, str):
        assert bad.content == content + "\n"
    else:  # by its text: NaN is not equal to itself
        assert repr(bad.content) == repr({"text": None, "label": None, "id": None} | content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("too,many,fields,no\n", "4 fields, but the header has 3 ('id', 'text', 'label')"),
        ("few\n", "1 field, but the header has 3 ('id', 'text', 'label')"),
        ('x,"quoted" badly,no\n', "broken row: ',' expected after '\"'"),
        (b"x,caf\xe9,no\n", "not UTF-8 at byte "),
        (b'x,"two\nl\xefnes",no\n', "not UTF-8 at byte "),
        ("x,nul\0byte,no\n", "a NUL byte at byte "),
        ("x,,no\n", "column 'text' is empty"),
        ("x,text,\n", "the label is missing in column 'label'"),
    ],
)
def test_csv(tmp_path, content, expected):
    raw = content if isinstance(content, bytes) else content.encode()
    lines = [f"{one['id']},{one['text']},{one['label']}\n".encode() for one in GOOD]
    path = tmp_path / "rows.csv"
    path.write_bytes(b"".join([b"id,text,label\n", *lines[:5], raw, *lines[5:]]))
    found = refused_or_set_aside(load, path, f"{path}:7", expected)
    assert all_texts(found) == sorted(one["text"] for one in GOOD)
    (bad,) = found.bad
    if not isinstance(bad.content, dict):  # it could not be parsed: its lines as they stand
        assert bad.content == raw.decode("utf-8", "backslashreplace")


def test_a_quote_that_never_closes_is_refused_always_as_it_swallows_rows(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\na,no\nb,yes\nc,no\nd,yes\n" + '"open,no\n' + "e,yes\n")
    assert issue(path) == f"{path}:6: broken row: a quote opened here never closes"


@pytest.mark.parametrize("kind", ["text", "lines"])
def test_more_than_half_are_refused(tmp_path, kind):
    wrong = row(text="") if kind == "text" else "{broken"
    path = jsonl(tmp_path, [wrong] * 20)
    assert len(load(path).bad) == 20
    path = jsonl(tmp_path, [wrong] * 21)
    assert issue(path).startswith(
        f"{path}: 21 of 41 rows are bad, more than half, so none is set aside; is it the right "
        f"file, with the right data.columns? The first: {path}:11: "
    )
    path = jsonl(tmp_path, [wrong] * 3, good=[])
    assert issue(path).startswith(f"{path}: 3 of 3 rows are bad")


def test_rows_of_parquet_keep_their_numbers_when_others_are_taken_out(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = ["one", "", "three", "four", "five", "six"]
    labels = ["no", "yes", "no", "what", "yes", "yes"]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": texts, "label": labels}), path)
    found = load(path)
    assert [(bad.place, bad.reason[:20]) for bad in found.bad] == [
        (f"{path} row 2", "column 'text' is emp"),
        (f"{path} row 4", "the label 'what' is "),
    ]
    assert all_texts(found) == ["five", "one", "six", "three"]


def test_what_is_written_can_be_read_whatever_it_holds(tmp_path):
    contents = [
        {"a": math.nan, "b": [1, math.inf]},
        "raw \x00 \ud83d\n",
        {"t": b"x"},
        {"שלום": "😀"},
    ]
    rows = [BadRow(f"f:{n}", "is bad", content) for n, content in enumerate(contents)]
    write_bad_rows(tmp_path / "bad.jsonl", rows)
    text = (tmp_path / "bad.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line)["row"] for line in text.splitlines()] == [
        {"a": "nan", "b": [1, "inf"]},
        contents[1],
        {"t": "b'x'"},
        contents[3],
    ]
    assert json.loads(text.splitlines()[0]) == {
        "place": "f:0", "reason": "is bad", "row": {"a": "nan", "b": [1, "inf"]}
    }  # fmt: skip
    assert "שלום" in text
