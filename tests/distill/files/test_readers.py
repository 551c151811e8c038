"""A file means the same to every reader: rows written are rows read, or an error with its line."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data.sources.files import read_files
from distill.data.text.documents import FileSource
from distill.files.bad_rows import BadRow
from distill.recipe.schema import DataConfig
from distill.runtime.rows import Row, Wanted, count_rows, every_row, read_rows
from distill.system.errors import DataError


def trained(path: Path, delimiter: str | None = None) -> list[str]:
    data = DataConfig(source="files", train=str(path), delimiter=delimiter)
    texts: list[str] = read_files(data, ["text"])["train"].column("text", "data.columns.text")
    return texts


def predicted(path: Path, delimiter: str | None = None) -> list[str]:
    return [row.text for row in read_rows(str(path), Wanted(delimiter=delimiter))]


def unlabelled(path: Path) -> list[str]:
    return [" ".join(document) for _, document in FileSource([path]).documents()]


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


READABLE = {
    "semicolon_in_a_name.csv": ('text,"a;b"\none; two,x\n', ["one; two"]),
    "blanks.csv": (" label , text \nx,one\ny, two \n", ["one", " two "]),
    "unwanted_twice.csv": ("id,text,,\n1,one,,\n2,two,,\n", ["one", "two"]),
    "old_mac.csv": ('text,label\rone,x\r"two\rlines",y\r"three\nlines",z\r',
                    ["one", "two\rlines", "three\nlines"]),
    "old_mac.tsv": ("text\tlabel\rone\tx\r\"two\ty", ["one", '"two']),
    "old_mac.jsonl": ('{"text": "one"}\r{"text": "two"}\r', ["one", "two"]),
    "windows.csv": ('text,label\r\n"one\r\ntwo",x\r\n\r\nthree,y', ["one\r\ntwo", "three"]),
    "windows.tsv": ("text\tlabel\r\none\tx\r\n\r\ntwo\ty\r\n", ["one", "two"]),
    "carriage_returns.tsv": ("text\tlabel\na\rb\tx\nc\ty\n", ["a\rb", "c"]),
    "empty_lines.csv": ("\ntext,label\n\none,x\n  \ntwo,y\n\n", ["one", "two"]),
    "empty_cells.csv": ("id,text\n1,one\n2,\n,three\n", ["one", "", "three"]),
    "empty_cells.tsv": ("id\ttext\n1\tone\n2\t\n", ["one", ""]),
    "empty_text.csv": ('text\none\n""\ntwo\n', ["one", "", "two"]),
}  # fmt: skip


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("name", READABLE)
def test_training_and_prediction_read_the_same(
    tmp_path: Path, name: str, mark: str, packed: str
) -> None:
    content, texts = READABLE[name]
    path = write(tmp_path, name + packed, mark + content)
    assert trained(path) == texts
    assert predicted(path) == texts
    if name.endswith(".jsonl"):
        assert unlabelled(path) == texts


def test_the_lines_of_text_files(tmp_path: Path) -> None:
    content = '"so\u2028 NA\n\x85null # "\r\nlast\r end'
    path = write(tmp_path, "rows.txt", content)
    assert predicted(path) == ['"so\u2028 NA', '\x85null # "', "last\r end"]
    assert unlabelled(path) == ['"so\u2028 NA null # " last\r end'.replace(" null", " null")]
    assert predicted(write(tmp_path, "mac.txt", "one\r\rtwo")) == ["one", "", "two"]
    assert unlabelled(write(tmp_path, "mac.txt", "one\r\rtwo")) == ["one", "two"]


def encoded(name: str, *, mark: bool = False) -> bytes:
    rows = "".join(f"it costs {n} €, said Łukasz\t{n % 2}\n" for n in range(20))
    return (("\ufeff" if mark else "") + "text\tlabel\n" + rows).encode(name, "replace")


#: Tables with tabs; texts of a line each are these too.
ENCODED = {
    "UTF-16 with a mark": (encoded("utf-16"), ":1: UTF-16, not UTF-8"),
    "UTF-16BE with a mark": (encoded("utf-16-be", mark=True), ":1: UTF-16, not UTF-8"),
    "UTF-32 with a mark": (encoded("utf-32"), ":1: UTF-32, not UTF-8"),
    "UTF-32BE with a mark": (encoded("utf-32-be", mark=True), ":1: UTF-32, not UTF-8"),
    "UTF-16LE": (encoded("utf-16-le"), ":1: not UTF-8 text (NUL bytes"),
    "UTF-16BE": (encoded("utf-16-be"), ":1: not UTF-8 text (NUL bytes"),
    "UTF-32LE": (encoded("utf-32-le"), ":1: not UTF-8 text (NUL bytes"),
    "UTF-32BE": (encoded("utf-32-be"), ":1: not UTF-8 text (NUL bytes"),
    "Cyrillic in UTF-16LE": ("слово".encode("utf-16-le"), ":1: not UTF-8 text (control characters"),
    "Latin-1": (encoded("latin-1").replace(b"ukasz", b"\xe9"), ":2: not UTF-8 at byte "),
    "Windows-1252": (encoded("cp1252"), ":2: not UTF-8 at byte "),
    "Latin-2": (encoded("iso8859-2"), ":2: not UTF-8 at byte "),
    "GB18030": ("text\tlabel\n这是一个句子\tx\n".encode("gb18030"), ":2: not UTF-8 at byte "),
    "Shift JIS": ("text\tlabel\nこれは文です\tx\n".encode("shift_jis"), ":2: not UTF-8 at byte "),
}


@pytest.mark.parametrize("name", ENCODED)
def test_other_encodings_are_refused_by_every_reader(tmp_path: Path, name: str) -> None:
    from distill.data.augmentation.vectors import read_glove
    from distill.data.sources.conll import read_conll
    from distill.data.sources.squad import read_squad
    from distill.data.text.vocabulary import read_vocabulary

    content, expected = ENCODED[name]
    readers: list[tuple[str, Callable[[Path], object]]] = [
        (ending, read)
        for ending in ("rows.csv", "rows.tsv", "rows.jsonl", "rows.tsv.gz")
        for read in (trained, predicted)
    ]
    readers += [
        ("rows.txt", predicted),
        ("rows.txt", unlabelled),
        ("rows.jsonl", unlabelled),
        ("rows.json", lambda path: read_squad(path, [])),
        ("rows.conll", lambda path: read_conll(path, ["tokens", "tags"])),
        ("vocab.txt", read_vocabulary),
    ]
    readers += [("vectors.txt", read_glove)] if ":1:" in expected else []
    for ending, read in readers:
        path = write(tmp_path, ending, content)
        with pytest.raises(DataError) as error:
            read(path)
        message = str(error.value)
        first = ":1: not JSON (" if ending.endswith(("json", "jsonl")) else expected
        wanted = (f"{path}{expected}", f"{path}{first}", f"{path}:1: one column ('text")
        assert message.startswith(wanted), ending
        assert "\n" not in message


WRONG = {
    "twice.csv": ("text,label,text\na,x,b\n", ":1: a column name occurs twice: 'text'"),
    "twice.tsv": ("text\t text \na\tb\n", ":1: a column name occurs twice: 'text'"),
    "twice.jsonl": (
        '{"text": "a"}\n{"text": "b", "text": "c"}\n',
        ":2: not JSON (the key 'text' occurs twice in an object)",
    ),
    "joined.csv": ("text,label\na,x\ntext,label\nb,y\n", ":3: the header again; "),
    "joined_marks.tsv": ("text\tlabel\na\tx\n\ufefftext\tlabel\nb\ty\n", ":3: the header again; "),
    "open.csv": ('text,label\na,x\n"b,y\nc,z\n', ":3: broken row: a quote opened here never"),
    "swallowing.csv": (
        'text,label\n"a,x\nb,y\n"c",z\nd,x\n',
        ":2: broken row: a quote opened here swallows 3 lines",
    ),
    "carriage_return.csv": ("text,label\na,x\nb\rc,y\n", ":3: broken row: a carriage return in a"),
    "missing.csv": ("text,label\na,x\nb\n", ":3: 1 field, but the header has 2 ('text', 'label')"),
    "more.tsv": ("text\tlabel\na\tx\tz\n", ":2: 3 fields, but the header has 2 ('text', 'label')"),
    "nothing.csv": ("", ": the file is empty; "),
    "nothing.csv.gz": ("", ": the file is empty; its first line names the columns"),
    "quoted.csv": ('text,label\n"a" b,c\n', ":2: broken row: ',' expected after '\"'"),
    "latin.csv": (
        "text,label\nfine,1\ncaf\xe9,1\n".encode("latin-1"),
        ":3: not UTF-8 at byte 21 (0xe9); save the file as UTF-8",
    ),
    "latin.jsonl.gz": (
        '{"text": "fine"}\n{"text": "caf\xe9"}\n'.encode("latin-1"),
        ":2: not UTF-8 at byte 30 (0xe9); save the file as UTF-8",
    ),
    "nul.csv": (
        "text,label\na,b\nc\0c,d\n",
        ":3: a NUL byte at byte 16; this is not a text file, or a damaged one",
    ),
    "broken.jsonl": (
        '{"text": "a", "label": 1}\n{"text": "b", label: 1}\n',
        ":2: not JSON (Expecting property name enclosed in double quotes, column 15); each line "
        "must be one object",
    ),
    "list.jsonl": ('["a", 1]\n', ':1: list instead of an object such as {"text": "...", "label'),
    "nested.jsonl": ("[" * 100_000, ":1: JSON nested too deeply"),
    "packed.csv": (b"\x1f\x8b\x08", ":1: a gzip file, whose name must end in .gz"),
    "sheet.csv": (b"PK\x03\x04\0", ":1: a zip archive or a spreadsheet, not text"),
    "parquet.csv": (b"PAR1\x15", ":1: a parquet file, whose name must end in .parquet"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_is_named_alike(tmp_path: Path, name: str) -> None:
    content, expected = WRONG[name]
    path = write(tmp_path, name, content)
    for read in (trained, predicted):
        with pytest.raises(DataError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}{expected}")


@pytest.mark.parametrize("sign", ["^", ":", "~", "\x01", "/"])
def test_another_delimiter_is_named(tmp_path: Path, sign: str) -> None:
    path = write(tmp_path, "rows.csv", f"text{sign}label\na, b{sign}x\n")
    for read in (trained, predicted):
        assert read(path, delimiter=sign) == ["a, b"]
        with pytest.raises(DataError, match=r"another delimiter|fix --delimiter"):
            read(path)
        with pytest.raises((DataError, ValueError), match="delimiter"):
            read(path, delimiter='"')
    path = write(tmp_path, "rows.csv", "text\tlabel\na, b\tx\n")
    assert predicted(path, delimiter=r"\t") == trained(path, delimiter=r"\t") == ["a, b"]


def test_every_row_is_read_or_set_aside(tmp_path: Path) -> None:
    lines = ["id\ttext", '1\t"so', "2\ta\tb", "3", "id\ttext", '4\tit"', "5\t", "6\tNA"]
    path = write(tmp_path, "rows.tsv", "".join(f"{line}\n" for line in lines))
    every = list(every_row(str(path), Wanted(keep=["id"])))
    rows = [row for row in every if isinstance(row, Row)]
    bad = [row for row in every if isinstance(row, BadRow)]
    assert count_rows(str(path), Wanted()) == len(every)
    assert [(row.kept["id"], row.text) for row in rows] == [
        ("1", '"so'),
        ("4", 'it"'),
        ("5", ""),
        ("6", "NA"),
    ]
    assert [row.place for row in bad] == [f"{path}:{line}" for line in (3, 4, 5)]
