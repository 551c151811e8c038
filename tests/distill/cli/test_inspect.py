"""``distill inspect``."""

import json

from distill.cli.main import main


def test_it_tells_writes_the_page_and_says_where(bundle, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["inspect", str(bundle()), "the best film", "--out", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("student ")
    assert lines[1].startswith("what counts for the logit of '")
    assert any("a bundle holds the student alone" in line for line in lines)
    assert lines[-1] == f"page: {page}"
    assert page.read_text("utf-8").startswith("<!doctype html>")


def test_json_is_one_document_and_writes_no_page(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = bundle()
    assert main(["inspect", str(folder), "the best film", "--label", "fair", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["explained"].startswith("the logit of 'fair'")
    assert len(found["student"]["attribution"]["values"]) == len(found["student"]["tokens"])
    assert not (tmp_path / "inspect.html").exists()
    words = ["inspect", str(folder), "the best film", "--json", "--out", "inspect.html"]
    assert main(words) == 0
    assert (tmp_path / "inspect.html").is_file()


def test_mistakes_are_one_line_and_exit_2(bundle, tmp_path, capsys):
    folder = bundle()
    for words, told in [
        ([str(tmp_path / "nowhere"), "a"], "no such folder"),
        ([str(folder), "a", "--label", "x"], "no label 'x'"),
        ([str(folder), "a", "--pair", "b"], "leave --pair out"),
        ([str(folder), ""], "the text is empty"),
    ]:
        assert main(["inspect", *words]) == 2
        err = capsys.readouterr().err
        assert told in err
        assert len(err.splitlines()) == 1
