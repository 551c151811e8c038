"""Random tables, written by the standard library and pyarrow, read by us and by pandas."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from distill.data.sources.files import read_files
from distill.data.text.documents import FileSource
from distill.recipe.schema import DataConfig
from distill.runtime.rows import Row, Wanted, every_row, read_rows
from distill.system.errors import DataError

#: What readers have taken for something else: missing values, comments, numbers, headers, marks.
AWKWARD = [
    "NA", "N/A", "nan", "NaN", "null", "NULL", "None", "", " ", "-1", "007", "1e5", "inf", "true",
    "text", "label", "id", "#text", "# id 1", "//", "%%", "-DOCSTART-", "'", '"', '""', '"so',
    'no"',
    "a,b", "a;b", "a|b", "\u2028", "a\x85b", "\u00a0", "\ufeff", "a\x0bb",
    "a\x1cb", "\\", "\\n", "[]", "{}", "=1", "日本", "שלום", "😀", "label;text",
]  # fmt: skip
CHARACTERS = st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t\r\n\x85")
CELLS = st.sampled_from(AWKWARD) | st.text(CHARACTERS, max_size=12)
TABLES = st.lists(st.tuples(CELLS, st.sampled_from(AWKWARD)), min_size=1, max_size=6)
Table = list[tuple[str, str]]
EVERY = [(cell, "x") for cell in AWKWARD]


def trained(path: Path) -> Table:
    data = DataConfig(source="files", train=str(path))
    table = read_files(data, ["text", "label"])["train"]
    return list(zip(table.columns["text"], table.columns["label"], strict=True))


def predicted(path: Path) -> Table:
    rows = every_row(str(path), Wanted(keep=["label"]))
    return [(row.text, row.kept["label"]) for row in rows if isinstance(row, Row)]


def in_pandas(path: Path, separator: str, quoting: int) -> Table:
    import pandas as pd

    frame = pd.read_csv(
        path,
        sep=separator,
        quoting=quoting,
        dtype=str,
        keep_default_na=False,
        encoding="utf-8-sig",
        engine="python",  # the other one takes NEL and the like apart
    )
    return list(zip(frame["text"], frame["label"], strict=True))


def check(name: str, content: bytes, rows: Table, other: Callable[[Path], Table] | None) -> None:
    """Both readers give the rows that were written, or name the line of one that is a header."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        for read in (trained, predicted):
            if any((a.strip(), b.strip()) == ("text", "label") for a, b in rows):
                with pytest.raises(DataError, match="the header again"):
                    read(path)
            else:
                assert read(path) == rows
        if other is not None:
            assert other(path) == rows


@settings(deadline=None, derandomize=True)
@given(
    rows=TABLES,
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.sampled_from(["utf-8", "utf-8-sig"]),
    last=st.booleans(),
    packed=st.sampled_from(["", ".gz"]),
)
@example(EVERY, ";", "\n", csv.QUOTE_MINIMAL, "utf-8", True, "")
def test_csv(
    rows: Table, delimiter: str, end: str, quoting: int, mark: str, last: bool, packed: str
) -> None:
    text = io.StringIO(newline="")
    # Python's writer quotes no carriage return but that of its own line end.
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
    lines = []
    for row in [("text", "label"), *rows]:
        writer.writerow(row)
        lines.append(text.getvalue().removesuffix("\r\n"))
        text.seek(0)
        text.truncate()
    content = (end.join(lines) + end * last).encode(mark)
    other = None
    if not packed and not any("\r" in cell for row in rows for cell in row):
        other = lambda path: in_pandas(path, delimiter, csv.QUOTE_MINIMAL)  # noqa: E731
    check("rows.csv" + packed, content, rows, other)


@settings(deadline=None, derandomize=True)
@given(
    rows=TABLES,
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    mark=st.sampled_from(["utf-8", "utf-8-sig"]),
    last=st.booleans(),
)
@example(EVERY, "\n", "utf-8", True)
def test_tsv(rows: Table, end: str, mark: str, last: bool) -> None:
    plain = [
        tuple(cell.translate(dict.fromkeys(map(ord, "\t\r\n"))) for cell in row) for row in rows
    ]
    lines = ["text\tlabel", *("\t".join(row) for row in plain)]
    content = (end.join(lines) + end * last).encode(mark)
    check("rows.tsv", content, plain, lambda path: in_pandas(path, "\t", csv.QUOTE_NONE))


@settings(deadline=None, derandomize=True)
@given(
    rows=TABLES,
    end=st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    ascii_only=st.booleans(),
    mark=st.sampled_from(["utf-8", "utf-8-sig"]),
)
@example(EVERY, "\n", False, "utf-8")
def test_jsonl(rows: Table, end: str, ascii_only: bool, mark: str) -> None:
    lines = [json.dumps({"text": a, "label": b}, ensure_ascii=ascii_only) for a, b in rows]
    content = end.join(lines).encode(mark)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_bytes(content)
        assert trained(path) == predicted(path) == rows
        read = [line for _, document in FileSource([path]).documents() for line in document]
        written = [line.strip() for a, _ in rows for line in a.replace("\r", "\n").split("\n")]
        assert read == [line for line in written if line]


@settings(deadline=None, derandomize=True, max_examples=20)
@given(rows=TABLES)
@example(EVERY)
def test_parquet_and_saved_datasets(rows: Table) -> None:
    import datasets

    whole = datasets.Dataset.from_dict(
        {"text": [a for a, _ in rows], "label": [b for _, b in rows]}
    )
    with tempfile.TemporaryDirectory() as folder:
        whole.to_parquet(Path(folder) / "rows.parquet")
        whole.save_to_disk(Path(folder) / "saved")
        assert trained(Path(folder) / "rows.parquet") == rows
        assert trained(Path(folder) / "saved") == rows


@settings(deadline=None, derandomize=True)
@given(
    texts=st.lists(CELLS, min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    last=st.booleans(),
)
def test_lines_of_text(texts: list[str], end: str, last: bool) -> None:
    plain = [text.translate(dict.fromkeys(map(ord, "\r\n"))) for text in texts]
    plain[-1] = plain[-1] or "x"  # an empty last line without an end is no line
    plain[0] = plain[0].lstrip("\ufeff") or "x"  # at the start it is a mark
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.txt"
        path.write_bytes((end.join(plain) + end * last).encode())
        assert [row.text for row in read_rows(str(path))] == plain
        found = [line for _, document in FileSource([path]).documents() for line in document]
        assert found == [text.strip() for text in plain if text.strip()]


@settings(deadline=None, derandomize=True)
@given(
    rows=st.lists(
        st.tuples(
            st.text(CHARACTERS, min_size=1, max_size=8).map(
                lambda word: "".join(c for c in word if c not in "\t\r\n")
            ).filter(str.strip)
            | st.sampled_from([a for a in AWKWARD if a.strip()]),
            st.sampled_from(["O", "B-LOC", "I-LOC", "S-x", "E-x"]),
        ),
        min_size=1,
        max_size=6,
    ),
    separator=st.sampled_from(["\t", " "]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)  # fmt: skip
def test_words_with_tags(rows: list[tuple[str, str]], separator: str, end: str) -> None:
    from distill.data.sources.conll import read_conll

    if separator == " ":
        rows = [(word.replace(" ", "_"), tag) for word, tag in rows]
    assume(("-DOCSTART-", "O") not in rows)  # which begins a document
    content = "".join(f"{word}{separator}{tag}{end}" for word, tag in [("x", "O"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.conll"
        path.write_bytes((content + end + content.split(end, 1)[1]).encode())
        table = read_conll(path, ["tokens", "tags"])
    words, tags = ([row[n] for row in rows] for n in (0, 1))
    assert table.columns == {"tokens": [["x", *words], words], "tags": [["O", *tags], tags]}
