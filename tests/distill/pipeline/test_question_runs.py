"""Question answering the whole way, from SQuAD's JSON to answers on the command line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from run_files import changed, recipe_at

from distill.evaluation.error_analysis import read_predictions
from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.runtime import load

pytestmark = pytest.mark.slow

WORDS = ("good", "bad", "dull", "fine")


def squad(number: int, *, no_answer: bool) -> dict[str, Any]:
    """Texts of which some are longer than a window; the answer follows `very`."""
    paragraphs = []
    for index in range(number):
        word = WORDS[index % 4]
        filler = " ".join(["the film was here and there"] * (1 + index % 7))
        context = f"{filler} . it was very {word} . {filler}"
        answers = [{"text": word, "answer_start": context.index(f"very {word}") + 5}]
        question = {"id": f"q{index}", "question": "what was it?", "answers": answers}
        if no_answer and index % 5 == 4:
            context = context.replace(f"very {word}", "very long")
            question |= {"answers": [], "is_impossible": True}
        paragraphs.append({"context": context, "qas": [question]})
    return {"version": "v2.0", "data": [{"title": "films", "paragraphs": paragraphs}]}


def recipe_for(path: Path, **task: Any) -> Path:
    data = recipe_at(path)["data"] | {"max_length": 48}
    no_answer = task.get("no_answer", False)
    for name, count in (("train", 40), ("validation", 16)):
        file = path.with_name(f"{name}.json.gz")
        file.write_bytes(gzip.compress(json.dumps(squad(count, no_answer=no_answer)).encode()))
        data[name] = str(file)
    task |= {"kind": "qa", "stride": 8}
    return changed(path, "qa", task=task, data=data, track={}, baseline=False)


def test_from_squad_to_answers(tmp_path: Path, tiny_recipe: Path, distill: Any) -> None:
    results = run(load_recipe(recipe_for(tiny_recipe, no_answer=True)), tmp_path / "run")
    rows = {row["name"]: row for row in results["models"]}
    assert list(rows) == [
        "linear", "teacher", "intermediate", "prediction", "prune", "onnx", "onnx-int8"
    ]  # fmt: skip
    assert set(rows["teacher"]["scores"]) == {"em", "f1"}
    assert results["metric"] == "f1"
    assert rows["onnx"]["scores"] == pytest.approx(rows["prune"]["scores"], abs=1e-6)
    written = read_predictions(next((tmp_path / "run").glob("*-evaluate/predictions.npz")))
    ids, kept = written.shared["ids"].tolist(), written.models
    assert (list(kept), ids[:2], len(ids)) == (list(rows), ["q0", "q1"], 16)
    for name, row in rows.items():
        assert row["scores"]["em"] == pytest.approx(kept[name]["em"].mean(), abs=1e-6)
        assert row["scores"]["f1"] == pytest.approx(kept[name]["f1"].mean(), abs=1e-6)
        assert sum(one["rows"] for one in row["calibration"]["bins"]) == 16
    assert results["disagreement"]["model"] == "onnx-int8"
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "how probable the best answer is" in page
    facts = json.loads((tmp_path / "run" / "data.json").read_text("utf-8"))
    assert facts["rows"] == {"train": 40, "validation": 16}
    assert any("40 questions in" in note for note in facts["notes"])
    bundle = tmp_path / "run" / "bundle"
    manifest = json.loads((bundle / "distill.json").read_text("utf-8"))
    assert manifest["task"] == "qa"
    assert manifest["settings"] == {
        "max_answer_length": 30,
        "no_answer": True,
        "threshold": 0.0,
        "stride": 8,
        "max_question_length": None,
    }
    assert "ForQuestionAnswering" in (bundle / "config.json").read_text("utf-8")
    text = "the film was here . it was very dull"
    [found] = load(bundle, format="onnx").predict(["what was it?"], [text])
    assert text[found["start"] : found["end"]] == found["answer"]
    asked = distill("predict", "run", "what was it?", "--pair", text, "--format", "onnx", "--json")
    assert asked.returncode == 0, asked.stderr
    told = json.loads(asked.stdout)
    assert (told["text"], told["answer"]) == ("what was it?", found["answer"])
