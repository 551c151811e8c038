"""The table of all tasks: what is listed, what is left out as done, and what the page says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from distill.recipe.loader import load_recipe, resolved_yaml

ROOT = Path(__file__).resolve().parents[2]


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def tasks() -> ModuleType:
    return module(ROOT / "benchmarks" / "tasks.py")


@pytest.fixture
def bench(tasks: ModuleType, tmp_path: Path) -> Any:
    """Data of the right names with one row, and two runs: one with results, one without."""
    data, runs = tmp_path / "data", tmp_path / "runs"
    for name in ("train", "test"):
        path = data / "trec6" / f"{name}.jsonl.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    runs.mkdir()
    found = tasks.Bench(data, runs)
    sample = module(ROOT / "tests" / "helpers" / "sample_run.py")
    case = case_of(tasks, "trec6")
    sample.write_run(runs / "trec6")
    (runs / "trec6" / "recipe.yaml").write_text(resolved_yaml(found.recipe(case)), "utf-8")
    return found


def case_of(tasks: ModuleType, name: str) -> Any:
    return next(case for case in tasks.CASES if case.name == name)


def test_every_run_names_files_of_its_own_and_says_how_it_is_run(tasks: ModuleType) -> None:
    names = [case.name for case in tasks.CASES]
    assert len(set(names)) == len(names)
    for case in tasks.CASES:
        assert case.command.startswith(f"distill run {case.recipe}")
        assert case.command.endswith(f"--run-dir RUNS/{case.name}")
        for setting in case.settings:
            assert "=" in setting


@pytest.mark.parametrize("name", ["trec6", "banking77", "nli", "stsb", "chnsenticorp", "sst2"])
def test_settings_fit_the_recipe(tasks: ModuleType, tmp_path: Path, name: str) -> None:
    case = case_of(tasks, name)
    recipe = load_recipe(case.recipe, *case.overrides(tmp_path, tmp_path / "runs"))
    assert str(tmp_path) in str(recipe.data.train)


def test_what_is_done_is_left_out_and_what_differs_is_told(
    tasks: ModuleType, bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = case_of(tasks, "trec6")
    assert bench.state(case) == "done"
    other = tasks.Bench(bench.data, bench.runs, ("data.limit_train=5",))
    assert "was run with other settings" in other.state(case)
    (bench.runs / "trec6" / "results.json").rename(tmp_path / "kept.json")
    assert bench.state(case) == "begun"
    assert bench.state(case_of(tasks, "nli")) == "to do"
    called: list[list[str]] = []
    monkeypatch.setattr(tasks, "_distill", lambda words: bool(called.append(list(words))) or True)
    assert bench.do(case)
    assert called == [["resume", str(bench.runs / "trec6")]]


def test_what_is_needed_first_is_made_once(
    tasks: ModuleType, bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(tasks, "chnsenticorp")
    called: list[list[str]] = []
    monkeypatch.setattr(tasks, "_distill", lambda words: bool(called.append(list(words))) or True)
    bench.do(case)
    assert [words[0] for words in called] == ["blank", "run"]
    (bench.runs / "zh").mkdir()
    called.clear()
    bench.do(case)
    assert [words[:2] for words in called] == [["run", "chnsenticorp"]]


def test_the_page_has_a_line_for_each_finished_run(tasks: ModuleType, bench: Any) -> None:
    page = tasks.page(bench, tasks.finished(bench, tasks.CASES))
    (line,) = (text for text in page.splitlines() if text.startswith("| 6 classes"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert len(cells) == len(tasks.HEADER)
    assert cells[1:3] == ["trec6", "accuracy"]
    # Linear (not there), teacher, baseline, the last model in torch, the bundle; sizes and times of
    # sample_run.py.
    assert cells[5:] == [
        "-", "0.8312", "0.7893", "0.8042", "0.8013", "96.4 %", "90.9 to 15.3",
        "8.51 to 0.69", "5.7",
    ]  # fmt: skip
    assert "distill run trec6 data.source=files data.train=DATA/trec6/train.jsonl.gz" in page
    assert str(bench.data) not in page


def test_listing_needs_no_model(tasks: ModuleType, bench: Any) -> None:
    told = {line.split()[0]: line for line in tasks.plan(bench, tasks.CASES)}
    assert told["trec6"].endswith("done")
    assert set(told) == {"run", *(case.name for case in tasks.CASES)}
    assert yaml.safe_load((bench.runs / "trec6" / "recipe.yaml").read_text())["name"] == "trec6"
