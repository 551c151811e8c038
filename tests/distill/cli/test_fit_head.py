"""`distill fit-head`: from a file with labels to a bundle that predicts them."""

from __future__ import annotations

import json

from distill.cli.main import main


def test_from_a_file_to_predictions(vector_bundle, sentences, tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    texts, labels = sentences
    lines = [json.dumps({"q": t, "y": label}) for t, label in zip(texts, labels, strict=True)]
    rows.write_text("\n".join(lines) + "\n")
    out, encoder = tmp_path / "head", str(vector_bundle())
    words = ["--data", str(rows), "--out", str(out), "--column", "q", "--label-column", "y"]
    words += ["--label", "bad", "--label", "good"]
    assert main(["fit-head", encoder, *words]) == 0
    told = capsys.readouterr().out
    assert "2 labels from 58 rows; validation accuracy" in told
    assert main(["predict", str(out), "the best film", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["probabilities"]) == {"bad", "good"}
    # Another one takes its place, and is told as JSON.
    assert main(["fit-head", encoder, *words, "--strength", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["strength"], facts["labels"]) == (58, 2.0, ["bad", "good"])
    (tmp_path / "mine").mkdir()
    words[3] = str(tmp_path / "mine")
    assert main(["fit-head", encoder, *words]) == 2
    assert "there is something else" in capsys.readouterr().err
