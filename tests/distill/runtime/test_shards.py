"""Shards: one process, many or a killed one give the bytes of a plain command, in order."""

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from distill.cli.main import main

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

ROWS = 300


def text(number):
    return f"the film {'was very good ' * (number % 5)}number {number}"


def write(folder, kind, files=3):
    """The rows in some files of a kind; of Parquet in groups that fit no window."""
    folder.mkdir()
    for part in range(files):
        rows = [{"id": n, "text": text(n)} for n in range(ROWS) if n * files // ROWS == part]
        path = folder / f"rows-{part}.{kind}"
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=37)
        elif kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        elif kind == "txt":
            path.write_text("".join(f"{row['text']}\n" for row in rows))
        else:
            mark = {"csv": ",", "tsv": "\t"}[kind]
            path.write_text(
                f"id{mark}text\n" + "".join(f"{r['id']}{mark}{r['text']}\n" for r in rows)
            )
    return folder


def predict(*words):
    return main(["predict", *map(str, words)])


def joined(folder, ending):
    """The rows of all shards, in order."""
    parts = sorted(folder.glob(f"part-*.{ending}"))
    assert parts
    if ending == "parquet":
        assert len({str(pq.read_schema(path)) for path in parts}) == 1
        return [row for path in parts for row in pq.read_table(path).to_pylist()]
    lines = [path.read_text().splitlines() for path in parts]
    skip = 0 if ending == "jsonl" else 1
    assert len({one[0] for one in lines}) == 1 or not skip
    return [line for one in lines for line in one[skip:]]


@pytest.mark.parametrize("kind", ["parquet", "csv", "txt"])
def test_shards_are_the_plain_command_cut(bundle, tmp_path, kind):
    model, source = bundle(), write(tmp_path / "in", kind)
    ending = "jsonl" if kind == "txt" else kind
    keep = () if kind == "txt" else ("--keep", "id")
    # The plain format and its fp32 sums too: they depend on the rows that share a batch.
    words = (model, "--file", source / f"rows-*.{kind}", "--format", "onnx", *keep)
    assert predict(*words, "--out", tmp_path / "one" / f"part-x.{ending}") == 0
    whole = joined(tmp_path / "one", ending)
    assert len(whole) == ROWS
    assert predict(*words, "--out", tmp_path / "seven", "--shards", 7) == 0
    names = sorted(path.name for path in (tmp_path / "seven").iterdir())
    parts = [f"part-{n:05d}-of-00007.{ending}" for n in range(7)]
    assert names == ["_SUCCESS", "_job.json", *parts]
    assert joined(tmp_path / "seven", ending) == whole
    if ending == "parquet":
        schema = pq.read_schema(tmp_path / "seven" / parts[0])
        assert schema.field("id").type == pa.int64()
        assert pa.types.is_struct(schema.field("probabilities").type)
        assert [row["text"] for row in whole] == [text(n) for n in range(ROWS)]


SMALL_WINDOWS = """
import os, signal, sys
from distill.cli.main import main
from distill.runtime import job, model, progress
job.WINDOW, progress.SAVE_SECONDS = 16, 0
predict, left = model.BundleModel.predict, [int(sys.argv[1])]
def until_killed(*args, **kwargs):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return predict(*args, **kwargs)
model.BundleModel.predict = until_killed
sys.exit(main(["predict", *sys.argv[2:]]))
"""


def test_a_schedulers_processes_and_a_kill(bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("distill.runtime.job.WINDOW", 16)
    model, out = bundle(), tmp_path / "out"
    words = (model, "--file", write(tmp_path / "in", "jsonl"))
    assert predict(*words, "--out", tmp_path / "whole" / "part-x.jsonl") == 0
    shards = (*words, "--out", out)
    assert predict(*shards, "--shard", "2/3") == 0
    assert "1 of 3 shards written here; 2 are not there yet" in capsys.readouterr().err
    assert not (out / "_SUCCESS").exists()
    last = (out / "part-00002-of-00003.jsonl").stat().st_mtime_ns

    def start(windows):
        call = [sys.executable, "-c", SMALL_WINDOWS, str(windows), *map(str, shards)]
        return subprocess.Popen([*call, "--shards", "3"])

    assert start(3).wait() == -signal.SIGKILL
    state = json.loads((out / "_part-00000-of-00003.jsonl.partial.json").read_text())
    assert state["done"]["rows"] == 48
    assert [process.wait() for process in (start(-1), start(-1))] == [0, 0]
    assert joined(out, "jsonl") == joined(tmp_path / "whole", "jsonl")
    assert (out / "_SUCCESS").exists()
    assert (out / "part-00002-of-00003.jsonl").stat().st_mtime_ns == last
    assert not [path.name for path in out.iterdir() if "partial" in path.name]
    assert predict(*shards, "--shards", 3) == 0
    assert "0 predictions written" in (err := capsys.readouterr().err)
    assert "0 of 3 shards written here; all are there" in err


def test_what_a_folder_of_shards_refuses(bundle, tmp_path, capsys):
    model, source = bundle(), write(tmp_path / "in", "jsonl")
    out = tmp_path / "out"
    words = (model, "--file", source, "--out", out)
    assert predict(*words, "--shards", 2) == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    one = source / "rows-0.jsonl"
    refused = {
        (*words, "--shards", "3"): "holds 2 shards, not 3; give the same number, or another folder",
        (*words, "--shards", "2", "--no-text"): "other settings (texts True, now False)",
        (*words, "--shards", "2", "--out-format", "csv"): "(results '.jsonl', now '.csv')",
        (model, "--file", one, "--out", out, "--shards", "2"): "shards of another input",
        (*words, "--shard", "2/2"): "--shard 2/2: shards are 0/2 to 1/2",
        (*words, "--shard", "1"): "two numbers are expected, such as 0/8",
        (*words, "--shard", "0/2", "--shards", "3"): "is one of 2, but --shards says 3",
        (*words, "--shards", "2", "--out-format", "xml"): "one of jsonl, csv, tsv, parquet",
        words: "a folder; name a file, or cut it with --shards N",
        (model, "--file", one, "--out-format", "csv", "--out", "x.csv"): "is for --shards",
        (model, "--file", source, "--out", tmp_path / "x.jsonl", "--shards", "2"): "an ending",
        (model, "--file", source, "--out", tmp_path / "other", "--shards", "2"): "'notes.txt'",
        (model, "--file", source, "--out", source, "--shards", "2"): "rows-0.jsonl lies in it",
        (model, "--file", source / "*.csv", "--out", out, "--shards", "2"): "matches no file",
        (model, "--file", tmp_path / "empty", "--json"): "a folder without files to read",
        (model, "--file", one, "--file", one, "--json"): "named twice by --file",
        (model, "--file", "-", "--out", out, "--shards", "2"): "cannot be cut into shards",
        (model, "--shards", "2"): "need a --file and an --out FOLDER",
        (model, str(one), "--file", one, "--json"): "put a pattern of files in quotes",
    }
    capsys.readouterr()
    for command, message in refused.items():
        assert predict(*command) == 2, command
        err = capsys.readouterr().err
        assert message in err, (command, err)
        assert err.count("\n") == 1, err
    one.write_text(one.read_text().replace("film", "filn", 1))
    assert predict(*words, "--shards", 2) == 2
    assert "shards of another input than this one" in capsys.readouterr().err


def test_more_shards_than_rows_and_bad_rows(bundle, tmp_path, capsys):
    source = tmp_path / "in.csv"
    source.write_text("id,text\n1,good\n2\n3,bad\n")
    words = (bundle(), "--file", source, "--out", tmp_path / "out", "--keep", "id", "--shards", 5)
    assert predict(*words) == 2
    assert "in.csv:3: 1 field, but the header has 2" in capsys.readouterr().err
    assert predict(*words, "--on-bad-row", "skip") == 0
    assert "1 bad rows set aside" in capsys.readouterr().err
    parts = sorted((tmp_path / "out").glob("part-*.csv"))
    assert len(parts) == 5
    assert len({path.read_text().splitlines()[0] for path in parts}) == 1
    assert [line.split(",")[0] for line in joined(tmp_path / "out", "csv")] == ["1", "3"]
    assert len(list((tmp_path / "out").glob("_part-*.bad.jsonl"))) == 1


def test_odd_columns_of_parquet(bundle, tmp_path, capsys):
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    columns = {
        "text": pa.array(["good", None, "bad"]).dictionary_encode(),
        "label": pa.array([1, None, 3], pa.int8()),
        "price": pa.array([Decimal("1.50"), None, Decimal("2.00")]),
        "raw": pa.array([b"\xff", None, b""]),
        "x.y": pa.array([[1.5], [], None]),
    }
    pq.write_table(pa.table(columns), source)
    words = (bundle(), "--file", source, "--keep", "label,price,raw,x.y")
    assert predict(*words, "--out", out) == 2
    assert f"{source} row 2: 'text' is null, not a text" in capsys.readouterr().err
    assert predict(*words, "--out", out, "--on-bad-row", "skip") == 0
    found = pq.read_table(out)
    assert found.column("input.label").to_pylist() == [1, 3]
    assert found.schema.field("price").type == pa.decimal128(3, 2)
    assert found.column("raw").to_pylist() == [b"\xff", b""]
    assert found.column("text").to_pylist() == ["good", "bad"]
    assert predict(*words, "--out", tmp_path / "o.jsonl", "--on-bad-row", "skip") == 0
    first = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])
    assert (first["price"], first["x.y"]) == ("1.50", [1.5])
    assert predict(*words[:3], "--column", "raw", "--json") == 2
    assert "'raw' is" in capsys.readouterr().err
    assert predict(*words[:3], "--column", "txt", "--json") == 2
    assert "no column 'txt'; columns are 'text', " in capsys.readouterr().err
    source.write_bytes(b"PAR1 and no more")
    assert predict(*words[:3], "--json") == 2
    assert "not a whole Parquet file" in capsys.readouterr().err
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), source)
    assert predict(*words[:3], "--out", out) == 0
    assert pq.read_table(out).num_rows == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_a_parquet_file(bundle, tmp_path):
    model, peaks = bundle(), []
    code = (
        "import pathlib, sys; from distill.cli.main import main; assert main(sys.argv[1:]) == 0;"
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    for rows in (5_000, 50_000):
        source = tmp_path / f"{rows}.parquet"
        # One row group, 14 MB of text where it is large.
        pq.write_table(pa.table({"text": [f"{n} " + "film " * 54 for n in range(rows)]}), source)
        words = ["predict", model, "--file", source, "--out", tmp_path / f"o-{rows}.parquet"]
        call = [sys.executable, "-c", code, *map(str, words), "--threads", "1"]
        done = subprocess.run(call, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 20_000, peaks  # KB
    assert Path(tmp_path / "o-50000.parquet").exists()
