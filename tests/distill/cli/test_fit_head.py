"""`distill fit-head`: from a file with labels to a bundle that predicts them."""

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


def test_integers_are_read_as_in_a_run(tmp_path, capsys):
    rows = tmp_path / "rows.jsonl"
    labels = [-1, 1] * 6 + [0]
    lines = [json.dumps({"text": f"text {n}", "label": one}) for n, one in enumerate(labels)]
    rows.write_text("\n".join(lines) + "\n")
    words = ["fit-head", "nowhere", "--data", str(rows), "--out", str(tmp_path / "out")]
    assert main([*words, "--label=-1", "--label=1"]) == 2
    said = capsys.readouterr().err
    assert f"{rows}:13: the label '0' is unknown; labels are '-1', '1'; these are names" in said
