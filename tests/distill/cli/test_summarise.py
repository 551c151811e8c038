"""`distill summarise` on files, in words and as JSON."""

import gzip
import json

import pytest

from distill.cli.main import main

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
def test_mistakes(vector_bundle, tmp_path, capsys, content, said):
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
