"""``distill evaluate``, ``compare`` and ``report``."""

import json
import shutil

import pytest

from distill.cli.main import main


def test_it_prints_the_table_and_the_next_command(finished_run, capsys):
    assert main(["evaluate", str(finished_run)]) == 0
    out = capsys.readouterr().out
    assert "onnx-int8: 96.4 % of the teacher at 5.9x smaller and 12.3x faster" in out
    assert out.splitlines()[-1] == f"next: distill report {finished_run}"


def test_with_a_bundle_the_next_command_predicts(finished_run, capsys):
    (finished_run / "bundle").mkdir()
    (finished_run / "bundle" / "distill.json").write_text("{}")
    main(["evaluate", str(finished_run)])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f'next: distill predict {finished_run}/bundle "some text"'


def test_json_is_the_file(finished_run, capsys):
    assert main(["evaluate", str(finished_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(
        (finished_run / "results.json").read_text()
    )


def test_rerun_measures_again_and_then_prints(finished_run, monkeypatch, capsys):
    from distill.stages import evaluate

    asked = []
    monkeypatch.setattr(evaluate, "evaluate_run", asked.append)
    assert main(["evaluate", str(finished_run), "--rerun"]) == 0
    assert asked == [finished_run]
    assert "retention" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("evaluate quickstart", "run `distill resume"),
        ("evaluate .", "not a run folder"),
        ("evaluate . --rerun", "not a run folder"),
        ("evaluate nowhere", "no such folder"),
        ("compare quickstart", "name two or more"),
        ("report .", "not a run folder"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(finished_run, monkeypatch, capsys, words, told):
    monkeypatch.chdir(finished_run.parent)
    (finished_run / "results.json").unlink()
    assert main(words.split()) == 2
    err = capsys.readouterr().err
    assert told in err
    assert len(err.splitlines()) == 1
    assert [path.name for path in finished_run.parent.iterdir()] == ["quickstart"]


@pytest.fixture
def second(finished_run):
    return shutil.copytree(finished_run, finished_run.with_name("second"))


def test_it_prints_both_runs_and_the_next_command(finished_run, second, capsys):
    assert main(["compare", str(finished_run), str(second)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].startswith("quickstart  onnx-int8")
    assert out[2].startswith("second      onnx-int8")
    assert out[-1] == f"next: distill report {second}"


def test_runs_of_the_same_name_are_told_by_their_paths(finished_run, tmp_path, capsys):
    other = shutil.copytree(finished_run, tmp_path / "other" / "quickstart")
    assert main(["compare", str(finished_run), str(other)]) == 0
    assert str(other) in capsys.readouterr().out


def test_json(finished_run, second, capsys):
    assert main(["compare", str(finished_run), str(second), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in found["runs"]] == ["quickstart", "second"]
    assert set(found["models"]["teacher"]) == {"quickstart", "second"}


def test_it_draws_the_page_and_tells_where(finished_run, capsys):
    assert main(["report", str(finished_run)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"report: {finished_run / 'report.html'}"
    assert out[1].startswith("next: distill compare")
    assert (finished_run / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_an_unfinished_run_is_drawn_and_resumed_next(finished_run, capsys):
    (finished_run / "results.json").unlink()
    assert main(["report", str(finished_run)]) == 0
    assert f"next: distill resume {finished_run}" in capsys.readouterr().out
