"""``distill evaluate``."""

import json

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


def test_rerun_does_not_start_on_a_folder_that_is_no_run(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "--rerun"]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_mistakes_are_one_line_and_exit_2(finished_run, tmp_path, capsys):
    (finished_run / "results.json").unlink()
    for folder, told in [
        (finished_run, "run `distill resume"),
        (tmp_path, "not a run folder"),
        (tmp_path / "nowhere", "no such folder"),
    ]:
        assert main(["evaluate", str(folder)]) == 2
        err = capsys.readouterr().err
        assert told in err
        assert len(err.splitlines()) == 1
