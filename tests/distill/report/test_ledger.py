"""The ledger in words: the same cells in every output."""

from __future__ import annotations

from distill.cli.main import main
from distill.report.ledger import ledger_table, plain_ledger


def test_rows_and_the_second_1x(sample):
    content = ledger_table(sample(reference=True))
    assert content.header[-1] == "faster than bert-base"
    rows = {row[0]: dict(zip(content.header, row, strict=True)) for row in content.rows}
    assert next(iter(rows)) == "bert-base"
    assert rows["bert-base"]["accuracy"] == "-"
    assert rows["onnx-int8"]["step faster"] == "1.5x"
    assert rows["onnx-int8"]["faster than bert-base"] == "79.0x"
    assert rows["teacher"]["faster than bert-base"] == "6.4x"
    assert {len(row) for row in content.rows} == {len(content.header)}


def test_conditions_are_told(sample):
    lines = plain_ledger(sample()).splitlines()
    assert lines[-3:] == [
        "accuracy on the test examples; MACs and speed at 32 tokens, 2 threads; "
        "latency at batch 1, length 32",
        "measured on Some Processor 9 with avx512, vnni; 2 threads",
        "torch 2.13.0, transformers 5.23.0, onnxruntime 1.31.0",
    ]


def test_commands(finished_run, tmp_path, capsys):
    assert main(["evaluate", str(finished_run), "--ledger"]) == 0
    out = capsys.readouterr().out
    assert "step faster" in out
    assert out.splitlines()[-1] == f"next: distill report {finished_run} --markdown ledger.md"
    file = tmp_path / "ledger.md"
    assert main(["report", str(finished_run), "--markdown", str(file)]) == 0
    assert file.read_text("utf-8").startswith("| step | from | accuracy |")
    assert '<h2 id="ledger">Ledger</h2>' in (finished_run / "report.html").read_text("utf-8")
