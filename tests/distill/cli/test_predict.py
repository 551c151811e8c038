import csv
import io
import json
import os
import re
import stat
import subprocess
import sys

import numpy as np
import pytest

from distill.cli.main import main
from distill.runtime import load

TEXTS = ["the best film", "a very bad and dull story", "", "return the value"]


def run(*words, capsys):
    code = main(["predict", *map(str, words)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_texts_on_the_command_line(bundle, capsys):
    folder = bundle()
    code, out, err = run(folder, *TEXTS, "two\nlines", capsys=capsys)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(TEXTS) + 1
    label, share, text = lines[0].split(maxsplit=2)
    assert label in ("bad", "fair", "good")
    assert share.endswith("%")
    assert text == "the best film"
    assert lines[-1].endswith("two lines")


def test_json_lines(bundle, capsys):
    code, out, _ = run(bundle(), *TEXTS, "--json", "--format", "onnx", capsys=capsys)
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [row["text"] for row in rows] == TEXTS
    assert list(rows[0]) == ["text", "label", "probabilities"]
    assert rows[0]["label"] == max(rows[0]["probabilities"], key=rows[0]["probabilities"].get)


def test_a_file_in_many_batches_keeps_its_order(bundle, tmp_path, capsys):
    texts = [f"film {'good ' * (index * 7 % 12)}{index}" for index in range(150)]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"review": text}) + "\n" for text in texts))
    folder = bundle()
    words = (folder, "--file", source, "--column", "review", "--batch-size", 3, "--json")
    code, out, _ = run(*words, capsys=capsys)
    assert code == 0
    assert [json.loads(line)["text"] for line in out.splitlines()] == texts
    target = tmp_path / "new" / "out.jsonl"
    code, printed, err = run(*words[:-1], "--out", target, capsys=capsys)
    assert (code, printed) == (0, "")
    assert re.fullmatch(rf"150 predictions written to {target} \(0:\d\d, [\d,]+ rows/s\)\n", err)
    assert target.read_text() == out
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert list(target.parent.iterdir()) == [target]


def test_pairs(bundle, tmp_path, capsys):
    folder = bundle(pair=True)
    code, out, _ = run(folder, "a film", "--pair", "a story", "--json", capsys=capsys)
    assert code == 0
    row = json.loads(out)
    assert (row["text"], row["pair"]) == ("a film", "a story")
    source = tmp_path / "in.csv"
    source.write_text("text,other\na film,a story\n")
    words = (folder, "--file", source, "--pair-column", "other", "--json")
    code, out, _ = run(*words, capsys=capsys)
    assert (code, json.loads(out)) == (0, row)
    code, out, _ = run(folder, "a film", "--pair", "a story", capsys=capsys)
    assert out.endswith("a film | a story\n")
    one, many = (folder, "a"), ("--pair", "b", "--pair", "c")
    code, out, _ = run(*one, *many, capsys=capsys)
    assert [line.split("  ")[-1] for line in out.splitlines()] == ["a | b", "a | c"]
    for words in (one, (folder, "a", "b", "c", *many)):
        code, _, err = run(*words, capsys=capsys)
        assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("columns", ["", "id\t"])
def test_quotes_of_a_tsv_swallow_no_rows(bundle, tmp_path, capsys, columns):
    texts = [f"word {n}" for n in range(15)]
    texts[3], texts[9] = '"so 3', 'word 9"'
    source, target = tmp_path / "in.tsv", tmp_path / "out.jsonl"
    rows = [columns.replace("id", str(n)) + text for n, text in enumerate(texts)]
    source.write_text("\n".join([columns + "sentence", *rows]) + "\n")
    folder = bundle()
    for more in ((), ("--on-bad-row", "skip")):
        code, _, err = run(folder, "--file", source, "--out", target, *more, capsys=capsys)
        assert code == 0
        assert err.startswith("15 predictions written")
        assert "bad" not in err
        written = [json.loads(line)["text"] for line in target.read_text().splitlines()]
        assert written == texts


@pytest.mark.parametrize(
    ("encoding", "stdin"),
    [("utf-16-le", False), ("utf-16", True), ("utf-32-le", False), ("latin-1", True)],
)
def test_other_encodings_are_one_line(bundle, tmp_path, capsys, monkeypatch, encoding, stdin):
    content = "".join(f"it cost {n} £\n" for n in range(9)).encode(encoding)
    (tmp_path / "in.txt").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    source = "-" if stdin else tmp_path / "in.txt"
    code, out, err = run(bundle(), "--file", source, "--json", capsys=capsys)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "save the file as UTF-8" in err


def test_a_delimiter_is_found_or_given(bundle, tmp_path, capsys):
    folder, source, target = bundle(), tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("text;n\na, b;1\n")
    words = (folder, "--file", source, "--out", target)
    code, _, err = run(*words, capsys=capsys)
    assert code == 0
    assert "in.csv: the header has no comma, so fields are separated by ';'\n" in err
    given = target.read_bytes()
    assert run(*words, "--delimiter", ";", capsys=capsys)[0] == 0
    assert target.read_bytes() == given
    code, _, err = run(*words, "--delimiter", ";;", capsys=capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "one character is expected" in err


def test_an_empty_file_gives_an_empty_file(bundle, tmp_path, capsys):
    (tmp_path / "in.txt").write_text("")
    words = (bundle(), "--file", tmp_path / "in.txt", "--out", tmp_path / "out.jsonl")
    assert run(*words, capsys=capsys)[0] == 0
    assert (tmp_path / "out.jsonl").read_text() == ""


#: Options behind a bundle's folder (``{out}`` is a new file), and what is said of them.
MISTAKES = [
    ("--out {out}", "nothing to predict"),
    ("x --file y.txt --out {out}", "not both"),
    ("x --column y --out {out}", "there is none"),
    ("x --pair y --out {out}", "takes single texts; leave --pair out"),
    ("x --format tf --out {out}", "no format 'tf' to predict with; it has onnx-int8, onnx"),
    ("--file none.txt --out {out}", "none.txt: no such file"),
    ("--file bytes.csv --out {out}", "bytes.csv:3: not UTF-8"),
    ("--file columns.csv --out {out}", "columns.csv:1: no column 'text'; "),
    ("--file rows.conll --out {out}", "files are read for training only; write the texts"),
    ("--file in.txt --out {out} --npy {out}", "give --out or --npy, not both"),
    ("--file in.txt --npy {out} --no-text", "--npy holds vectors and nothing else"),
    ("x --npy {out}", "--npy need a --file"),
    ("x --out {out} --keep id", "need a --file"),
    ("x --resume", "need an --out FILE"),
    ("--file - --out {out} --resume", "standard input cannot be read again"),
    ("x --on-bad-row ignore", "'--on-bad-row': 'ignore' is not one of 'refuse', 'skip' (see: "),
    ("x --batch-size 0", "--batch-size"),
    ("x --threads 0", "--threads"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name, content in (
        ("bytes.csv", b"text\nfine\n\xff\xfe\n"),
        ("columns.csv", b"a,b\n1,2\n"),
        ("rows.conll", b"a O"),
        ("in.txt", b"fine\n"),
    ):
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_mistakes_are_one_line_and_write_nothing(
    bundle, files, tmp_path, monkeypatch, capsys, words, said
):
    monkeypatch.chdir(files)
    out = tmp_path / "new" / "out"
    code, printed, err = run(bundle(), *words.format(out=out).split(), capsys=capsys)
    assert (code, printed, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_a_bundle_that_is_not_there(tmp_path, capsys):
    code, _, err = run(tmp_path / "none", "x", capsys=capsys)
    assert (code, err.count("\n")) == (2, 1)
    assert "none: no such folder" in err


def test_an_earlier_result_survives_a_mistake(bundle, tmp_path, capsys):
    (tmp_path / "in.txt").write_bytes(b"fine\n\xff\n")
    out = tmp_path / "out.jsonl"
    out.write_text("kept\n")
    code, _, _ = run(bundle(), "--file", tmp_path / "in.txt", "--out", out, capsys=capsys)
    assert (code, out.read_text()) == (2, "kept\n")


LIGHT = """
import sys
# What `pip install numpy tokenizers onnxruntime typer` does not bring.
for name in ("torch", "transformers", "lightning", "torchmetrics", "nni", "wandb", "datasets",
             "onnx", "pyarrow", "sklearn", "safetensors", "yaml", "jinja2", "matplotlib", "psutil"):
    sys.modules[name] = None
from distill.cli.main import main
from distill.runtime import load
sys.exit(main(["predict", sys.argv[1], "--file", "-", "--json"]))
"""


def test_standard_input_with_little_installed(bundle):
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(bundle())],
        input="a good film\n",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text"] == "a good film"


def test_csv_with_kept_columns_and_bad_rows_set_aside(bundle, tmp_path, capsys):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    rows = [{"id": n, "label": "gold", "text": text} for n, text in enumerate(TEXTS)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    words = (bundle(), "--file", source, "--out", out)
    code, _, err = run(*words, capsys=capsys)
    assert code == 2
    assert f"{source}:5: not JSON" in err
    assert err.endswith("; or set bad rows aside: --on-bad-row skip\n")
    more = ("--keep", "id, label", "--no-text", "--on-bad-row", "skip", "--resume")
    code, _, err = run(*words, *more, capsys=capsys)
    assert code == 0
    assert f"1 bad rows set aside in {tmp_path / 'out.bad.jsonl'}" in err
    with out.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    shares = [f"probabilities.{name}" for name in ("bad", "fair", "good")]
    assert list(found[0]) == ["id", "input.label", "label", *shares]
    assert [row["id"] for row in found] == ["0", "1", "2", "3"]
    for row in found:
        assert row["label"] == max(shares, key=lambda name: float(row[name])).split(".")[1]
    assert sum(float(found[0][name]) for name in shares) == pytest.approx(1)


def test_vectors_of_a_file_as_one_array(vector_bundle, tmp_path, capsys):
    source, target = tmp_path / "in.txt", tmp_path / "vectors.npy"
    source.write_text("".join(f"{text}\n" for text in TEXTS))
    folder = vector_bundle()
    words = (folder, "--file", source, "--npy", target)
    code, out, err = run(*words, capsys=capsys)
    assert (code, out) == (0, "")
    assert err.startswith(f"{len(TEXTS)} vectors written to {target} (")
    found = np.load(target, mmap_mode="r")
    assert np.array_equal(found, load(folder).encode(TEXTS))


def test_a_pipe_is_answered_as_it_comes(bundle):
    command = [sys.executable, "-m", "distill", "predict", str(bundle()), "--file", "-", "--json"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for text in ("a good film", "bad", "the film"):
        print(text, file=process.stdin, flush=True)
        # Without an answer before the next line this would wait for ever.
        assert json.loads(process.stdout.readline())["text"] == text
    process.stdin.close()
    assert process.stdout.read() == ""
    assert process.wait(timeout=60) == 0
