"""`distill fit-head` and `summarise`: what a sentence encoder's bundle is good for."""

import gzip
import json

import pytest

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


TEXT = (
    "The best film of the year was a long story. It was not for all, but the old film was fine. "
    "Yes. The story of the film was dull and the scene was bad. He had one name and an old life. "
    "The film had the best scene of all the year."
)


def test_sentences_in_their_own_order(vector_bundle, tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    folder = vector_bundle()
    assert main(["summarise", str(folder), str(path), "--sentences", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    places = [TEXT.index(line) for line in lines]
    assert places == sorted(places)
    packed = tmp_path / "text.txt.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert main(["summarise", str(folder), str(packed), "--sentences", "3", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["text"] for one in told] == lines
    for one in told:
        assert TEXT[one["start"] : one["end"]] == one["text"]
        assert 0 < one["score"] <= 1
    main(["summarise", str(folder), str(path), "--centrality", "degree", "--diversity", "0"])
    assert len(capsys.readouterr().out.splitlines()) == 5  # all but the one that is too short


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"ab\xff", "not UTF-8 (byte 3)"), (None, "no such file")],
)
def test_texts_that_cannot_be_summarised(vector_bundle, tmp_path, capsys, content, said):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    assert main(["summarise", str(vector_bundle()), str(path)]) == 2
    assert said in capsys.readouterr().err


def test_a_classifier_weighs_no_sentences(bundle, tmp_path, capsys):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    assert main(["summarise", str(bundle()), str(path)]) == 2
    assert "a bundle for classification" in capsys.readouterr().err
