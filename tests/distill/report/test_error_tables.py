"""The report's error analysis: drawn from what was kept, in the way that fits the labels."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from pydantic import BaseModel

from distill.data.split import Split
from distill.evaluation.error_analysis import of_final, of_model, write_analysis
from distill.report.html import render_report
from distill.tasks.classification.task import Classification
from distill.tasks.regression.task import Regression


def kept(names, count=300):
    random = np.random.default_rng(0)
    task, labels = Classification(names), random.integers(0, len(names), count)
    found = task.analysis(Split("test", ["a text"] * count, labels.tolist()), None, None)
    for name in ("teacher", "baseline", "prune", "onnx-int8"):
        logits = random.normal(size=(count, len(names)))
        logits[np.arange(count), found.targets] += 2.0
        keep = found.keeper(name, task, None)
        keep(logits.astype(np.float32), {"index": np.arange(count)})
    return found


@pytest.fixture
def measured(finished_run, sample_results):
    """A function: the run's results with what was made of some predictions, and its page."""

    def write(found, rows=()):
        results = sample_results(task=found.task.kind)
        for row in results["models"]:
            row |= json.loads(
                json.dumps(of_model(found, row["name"]), default=BaseModel.model_dump)
            )
        results |= json.loads(json.dumps(of_final(found), default=BaseModel.model_dump))
        (finished_run / "results.json").write_text(json.dumps(results), "utf-8")
        folder = finished_run / "08-evaluate"
        folder.mkdir(exist_ok=True)
        write_analysis(found, folder)
        content = {"schema": 1, "model": "onnx-int8", "rows": list(rows)}
        (folder / "disagreements.json").write_text(json.dumps(content), "utf-8")
        return render_report(finished_run).read_text("utf-8")

    return write


ROW = {
    "row": 7, "text": "<b>a text</b>", "text_pair": "its pair", "label": "good",
    "teacher": {"prediction": "good", "confidence": 0.61},
    "model": {"prediction": "bad", "confidence": 0.97},
}  # fmt: skip


def test_few_labels_are_a_table_with_every_count(measured):
    found = kept(("bad", "good"))
    page = measured(found, [ROW])
    chosen = found.chosen("onnx-int8")
    for true in (0, 1):
        for said in (0, 1):
            count = int(((found.targets == true) & (chosen == said)).sum())
            kind = "right" if true == said else "wrong"
            assert re.search(rf'<td class="{kind}" style="[^"]*" title="[^"]*">{count}</td>', page)
    assert 'alt="Confusion matrix' not in page
    assert "Confused most" not in page  # two labels: the table says it all


def test_more_labels_are_a_map_with_the_worst_pairs_beside_it(measured):
    found = kept(tuple(f"label{k}" for k in range(20)), 900)
    page = measured(found)
    assert 'alt="Confusion matrix of 20 labels' in page
    assert "Confused most" in page
    told = of_final(found)["confusion"]
    worst = max(
        count for true, row in told.rows.items() for said, count in row.items() if said != true
    )
    body = page[page.index("Confused most") :]
    assert re.search(r"<td>(\d+)</td>", body)[1] == str(worst)


def test_every_model_has_its_calibration_error(measured):
    found = kept(("bad", "good"))
    page = measured(found)
    body = page[page.index('id="calibration"') : page.index('id="training"')]
    for name in found.models:
        ece = of_model(found, name)["calibration"].ece
        assert re.search(rf"</span>{name}</th><td>{ece:.4f}</td>", body), name
    assert 'alt="Reliability, calibration errors: teacher' in body


def test_disagreements_have_text_label_and_both_answers(measured):
    page = measured(kept(("bad", "good")), [ROW])
    body = page[page.index('id="disagreements"') : page.index('id="training"')]
    assert "&lt;b&gt;a text&lt;/b&gt; | its pair" in body
    assert re.search(r'class="word right">good <span class="sure">61.0 %', body)
    assert re.search(r'class="word ">bad <span class="sure">97.0 %', body)
    assert re.search(
        r"answer \d+ examples differently \(\d+\.\d %\): in \d+ the teacher is right", body
    )


def test_numbers_are_points(measured):
    random = np.random.default_rng(0)
    split = Split("test", ["a text"] * 50, random.uniform(0, 5, 50).tolist())
    task = Regression()
    found = task.analysis(split, None, None)
    for name in ("teacher", "onnx-int8"):
        values = (found.targets + random.normal(size=50))[:, None].astype(np.float32)
        found.keeper(name, task, None)(values, {"index": np.arange(50)})
    row = {
        "row": 1, "text": "a", "label": "3.5",
        "teacher": {"prediction": "1.000", "confidence": None},
        "model": {"prediction": "4.000", "confidence": None},
    }  # fmt: skip
    page = measured(found, [row])
    off = np.abs(found.outputs["teacher"][:, 0] - found.targets).mean()
    assert f"teacher is {off:.3f} off in the mean" in page
    assert 'id="calibration"' not in page
    assert "furthest from the teacher" in page


def test_entities_are_told_by_type_and_by_what_is_found_instead(finished_run, sample_results):
    results = sample_results(task="ner")
    score = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 4}
    for row in results["models"]:
        row["label_scores"] = {"person": score, "place": score}
        row["calibration"] = {"ece": 0.1, "bins": [{"rows": 9, "confidence": 0.9, "accuracy": 0.8}]}
    rows = {"person": {"person": 2, "(other words)": 1, "(nothing)": 1}, "(nothing)": {"place": 6}}
    results["confusion"] = {"model": "onnx-int8", "rows": rows}
    (finished_run / "results.json").write_text(json.dumps(results), "utf-8")
    page = render_report(finished_run).read_text("utf-8")
    columns = re.search(r'<table class="matrix">.*?</thead>', page, flags=re.DOTALL)
    assert columns is not None
    assert re.findall(r'<th scope="col">(.*?)</th>', columns[0]) == [
        "person", "place", "(nothing)", "(other words)"
    ]  # fmt: skip
    assert '<th scope="row">(nothing)</th><td class="word">place</td><td>6</td>' in page
    assert "<h3>By type</h3>" in page
    assert "word by word: sure of its tag" in page
