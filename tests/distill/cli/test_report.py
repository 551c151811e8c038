"""``distill report``."""

from distill.cli.main import main


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


def test_no_run_no_page(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
