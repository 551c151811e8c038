"""results.json: its shape, its ratios, and what is said of one that cannot be read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from distill.evaluation.ledger import ledger
from distill.evaluation.results import ModelRow, Results, read_results, write_results
from distill.report.summary import notes, summary
from distill.report.table import models_table
from distill.system.errors import RunFolderError


def test_the_example_of_the_documentation_is_a_results_file():
    text = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
    example = json.loads(re.search(r"```json\n(.*?)```", text, flags=re.DOTALL)[1])
    assert Results.model_validate(example).final.name == "onnx-int8"
    assert set(example) == {field.alias or name for name, field in Results.model_fields.items()}
    assert set(example["models"][0]) == set(ModelRow.model_fields)


def test_teacher_first_baseline_second_exports_last(sample_results, sample_models):
    names = [row["name"] for row in sample_results(sample_models[::-1])["models"]]
    assert names == [
        "teacher", "baseline", "prune", "prediction", "intermediate", "onnx-int8", "onnx",
    ]  # fmt: skip


def test_ratios_and_retention_refer_to_the_teacher(sample_results):
    row = sample_results()["models"][-1]
    assert row["retention"] == pytest.approx(0.8013 / 0.8312)
    assert row["ratios"]["size"] == pytest.approx(90.9 / 15.3)
    assert row["ratios"]["latency"] == pytest.approx(8.51 / 0.69)
    assert row["ratios"]["throughput"] == pytest.approx(119.0 / 13.1)


@pytest.mark.parametrize("score", [0.9, None])
def test_a_teacher_that_is_a_file_gives_retention_and_no_ratios(
    sample_results, sample_models, score
):
    targets = None if score is None else {"score": score, "scores": {"accuracy": score}}
    found = Results.model_validate(sample_results(sample_models[1:], targets=targets))
    first, final = found.one, found.final
    assert (first.name, final.name) == ("prediction", "onnx-int8")
    assert final.ratios.size == pytest.approx(first.bytes / final.bytes)
    assert final.retention == (score and pytest.approx(final.score / score))
    kept = "89.0 % of the teacher" if score else "accuracy 0.8013"
    assert summary(found).startswith(f"onnx-int8: {kept} at ")
    assert " than prediction in PyTorch (" in summary(found)
    lines = models_table(found).lines()
    assert [line.split()[0] for line in lines[1:]] == [
        *(["teacher"] if score else []), *(row.name for row in found.models),
    ]  # fmt: skip
    if score:
        assert lines[1].split()[:5] == ["teacher", "targets", "0.9000", "-", "-"]
    assert next(step.model.name for step in ledger(found)) == "prediction"
    assert not any("teacher" in note for note in notes(found))


def test_written_results_are_read_back_the_same(finished_run, sample_results):
    write_results(finished_run / "results.json", Results.model_validate(sample_results()))
    assert read_results(finished_run).model_dump(by_alias=True, mode="json") == sample_results()


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(RunFolderError, match="no such folder"):
        read_results(tmp_path / "nowhere")
    text = tmp_path / "text"
    text.mkdir()
    (text / "recipe.yaml").write_text("name: text\nstages: [{kind: pretrain}]\n", "utf-8")
    with pytest.raises(RunFolderError, match=r"no evaluate stage.* distill report .*text"):
        read_results(text)
    with pytest.raises(RunFolderError, match="not a run folder"):
        read_results(tmp_path)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RunFolderError, match="a file, not a run folder"):
        read_results(file)


def test_a_run_without_results_says_how_to_get_them(finished_run):
    (finished_run / "results.json").unlink()
    with pytest.raises(RunFolderError, match=f"run `distill resume {finished_run}` first"):
        read_results(finished_run)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"schema": 9})])
def test_unreadable_results_say_how_to_make_them_again(finished_run, content):
    (finished_run / "results.json").write_text(content)
    with pytest.raises(RunFolderError) as caught:
        read_results(finished_run)
    assert "\n" not in str(caught.value)
    assert "--rerun" in str(caught.value)


def test_a_reference_is_compared_with_and_is_no_model(sample_results):
    results = sample_results(reference=True)
    assert "bert-base" not in [row["name"] for row in results["models"]]
    assert results["reference"]["latency_ms"]["b1_l32"]["p50"] == 54.5
    final = results["models"][-1]
    assert final["against"]["latency"] == pytest.approx(54.5 / 0.69)
    assert final["against"]["size"] == pytest.approx(438 / 15.3)
