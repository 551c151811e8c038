"""``distill compare``."""

import json
import shutil

import pytest

from distill.cli.main import main


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


def test_one_run_alone_is_a_mistake(finished_run, capsys):
    assert main(["compare", str(finished_run)]) == 2
    assert "name two or more" in capsys.readouterr().err
