"""Named entities the whole way: column files, teacher, student, pruning, int8, bundle, text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import task_kinds as kinds
import torch
from run_files import changed, recipe_at

from distill.evaluation.error_analysis import read_predictions
from distill.pipeline.runner import run
from distill.recipe.loader import load_recipe
from distill.runtime import load
from students.heads import logits_of
from teachers.load import load_model, load_tokenizer

pytestmark = pytest.mark.slow


def ner_recipe(path: Path, sentences: tuple[list[str], list[int]]) -> Path:
    """The tiny recipe over column files: a film is an entity, and what it is like is one too."""
    # The longest sentences have 26 tokens, and are read in windows.
    data = kinds.write_rows("ner", path.parent, *sentences) | {"max_length": 16}
    teacher = recipe_at(path)["teacher"]
    teacher["finetune"] = {"epochs": 15, "batch_size": 8, "lr": 3e-3}
    return changed(path, "ner", task={"kind": "ner"}, track={}, data=data, teacher=teacher)


def tags_of_transformers(folder: Path, text: str) -> list[str]:
    """The tag of every word of a short text, by the bundle's own folder."""
    encoded = load_tokenizer(folder)(text, return_tensors="pt")
    words = encoded.word_ids(0)
    model = load_model(folder)
    with torch.inference_mode():
        tags = logits_of(model, dict(encoded))[0].argmax(-1).tolist()
    names = model.config.id2label or {}
    firsts = [n for n, word in enumerate(words) if word is not None and word != words[n - 1]]
    return [names[tags[first]] for first in firsts]


def test_from_recipe_to_entities(
    tmp_path: Path, tiny_recipe: Path, sentences: Any, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = load_recipe(ner_recipe(tiny_recipe, sentences))
    with caplog.at_level("INFO", logger="distill"):
        results = run(recipe, tmp_path / "run")
    assert "examples are longer than 16 tokens; they are read in" in caplog.text
    rows = {row["name"]: row for row in results["models"]}
    assert list(rows) == [
        "linear", "teacher", "baseline", "intermediate", "prediction", "prune", "onnx", "onnx-int8"
    ]  # fmt: skip
    assert (results["task"], results["metric"]) == ("ner", "f1")
    # Which word is the film stands in the text: a teacher of a few epochs knows.
    assert rows["teacher"]["scores"]["f1_film"] > 0.5
    assert rows["onnx"]["score"] == pytest.approx(rows["prune"]["score"], abs=1e-3)
    # By type, the scores that are told are those that are made of what was kept.
    for row in rows.values():
        assert row["calibration"]["ece"] >= 0
        for kind, one in row["label_scores"].items():
            assert one["f1"] == pytest.approx(row["scores"][f"f1_{kind}"], abs=1e-6)
    kept = read_predictions(next((tmp_path / "run").glob("*-evaluate/predictions.npz")))
    assert list(kept.models) == list(rows)
    assert len(set(kept.shared["rows"].tolist())) == 24
    assert set(results["confusion"]["rows"]) <= {"good", "bad", "film", "(nothing)"}
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    for told in ("<h3>By type</h3>", "word by word: sure of its tag", "true entities by type"):
        assert told in page
    bundle = tmp_path / "run" / "bundle"
    manifest = json.loads((bundle / "distill.json").read_text("utf-8"))
    assert manifest["settings"] == {"scheme": "bio", "strict": True, "stride": None}
    card = (bundle / "README.md").read_text("utf-8")
    assert "pipeline_tag: token-classification" in card
    assert "its named entities with their characters: bad, film, good" in card
    model = load(bundle, format="onnx")
    short = [text for text in sentences[0] if len(text) < 40]
    inputs = model.decoder.inputs(model.encoder, short, None)
    tags = model.decoder.tags(inputs, model.run(inputs.rows))  # type: ignore[attr-defined]
    for text, found in zip(short, tags, strict=True):
        assert [tag for _, _, tag in found] == tags_of_transformers(bundle, text)
    for text, one in zip(sentences[0], model.predict(sentences[0]), strict=True):
        for entity in one["entities"]:
            assert text[entity["start"] : entity["end"]] == entity["text"]
