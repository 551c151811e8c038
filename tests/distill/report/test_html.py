"""The page: whole from a finished run, honest from an unfinished one, loading nothing."""

from __future__ import annotations

import base64
import re

import pytest
import sample_run
from pages import Page

from distill.report.html import render_report
from distill.report.run_data import read_curves, read_run
from distill.system.errors import RunFolderError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run that no test changes."""
    return sample_run.write_run(tmp_path_factory.mktemp("run") / "quickstart")


@pytest.fixture(scope="module")
def page(run):
    return render_report(run).read_text("utf-8")


def test_all_sections_and_pictures_of_a_finished_run(page):
    parsed = Page(page)
    assert parsed.open == []
    assert parsed.headings == [
        "Models", "Score, speed and size", "Ledger", "Training", "Stages", "Layer map",
        "Recipe, machine, and how to do it again",
    ]  # fmt: skip
    # Score against latency, sizes, validation scores, five losses, one layer map.
    assert parsed.tags.count("img") == 9
    text = parsed.text
    for fact in ("96.4 %", "5.9x", "12.3x", "0.8013", "8.51 to 0.69 ms", "90.9 to 15.3 MB"):
        assert fact in text
    assert "Not in the picture, as a later stage trained it further: intermediate (0.2100)" in text
    assert "Some Processor 9" in text
    assert "{kind: evaluate, name: evaluate" in text
    assert "distill run recipe.yaml --run-dir quickstart-again" in text


def test_it_loads_nothing_and_runs_nothing(page):
    parsed = Page(page)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    assert not re.search(r"@import|url\(|http", page)
    assert parsed.addresses
    assert all(one.startswith("data:image/svg+xml;base64,") for one in parsed.addresses)


def test_pictures_say_what_they_show_and_names_in_them_are_text(page):
    for picture in re.findall(r"<img[^>]*>", page):
        assert re.search(r'alt="[^"]{20,}"', picture)
        data = re.search(r"base64,([^\"]+)", picture)[1]
        assert "mathdefault" not in base64.b64decode(data).decode("utf-8")


def test_the_same_run_gives_the_same_page(run, page):
    assert render_report(run).read_text("utf-8") == page


def test_words_from_files_are_escaped(finished_run):
    recipe = (finished_run / "recipe.yaml").read_text("utf-8")
    evil = "<script>alert(1)</script>"
    recipe = re.sub("description: .*", f"description: '{evil}'", recipe)
    (finished_run / "recipe.yaml").write_text(recipe, "utf-8")
    metrics = finished_run / "metrics.csv"
    metrics.write_text(metrics.read_text("utf-8") + f'"{evil}",1,1,loss,1.0,1\n', "utf-8")
    parsed = Page(render_report(finished_run).read_text("utf-8"))
    assert "script" not in parsed.tags


def test_a_run_just_begun_renders_and_says_what_is_missing(finished_run):
    for path in finished_run.iterdir():
        if path.name not in {"recipe.yaml", "01-teacher"}:
            for file in [*path.glob("*"), path] if path.is_dir() else [path]:
                file.rmdir() if file.is_dir() else file.unlink()
    (finished_run / "01-teacher" / "stage.json").unlink()
    page = render_report(finished_run).read_text("utf-8")
    assert Page(page).open == []
    assert "<img" not in page
    for text in ("no evaluation yet", "No loss has been logged", "No stage has matched layers yet"):
        assert text in page


def test_a_folder_that_is_no_run_gets_no_page(tmp_path):
    with pytest.raises(RunFolderError, match="not a run folder"):
        render_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_stage_file_is_told_with_its_path(finished_run):
    path = finished_run / "03-intermediate" / "stage.json"
    path.write_text("{")
    with pytest.raises(RunFolderError, match=re.escape(str(path))):
        read_run(finished_run)


def test_curves_survive_a_cut_off_row_and_take_the_last_of_two_values(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text(
        "stage,step,epoch,metric,value,seconds\n"
        "a,20,0.2,loss,1.5,1\na,10,0.1,loss,2.0,1\na,20,0.2,loss,1.4,2\na,30,0.3,loss,nan,1\n"
        "a,30,0.3,lo"
    )
    assert read_curves(file) == {"a": {"loss": [(10.0, 2.0), (20.0, 1.4)]}}
    assert read_curves(tmp_path / "missing.csv") == {}
