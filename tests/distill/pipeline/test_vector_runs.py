"""A run of sentence vectors through every stage, from the recipe to the bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from distill.runtime import load

SHORT = {"epochs": 1, "batch_size": 16, "lr": 1e-3}


@pytest.fixture
def vector_recipe(tmp_path: Path, tiny_bert: Callable[..., Path], sentences) -> Path:
    """64 pairs of sentences, alike where both are good or both are bad."""
    texts, labels = sentences
    rows = []
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        other = (row * 5 + 3) % 64
        score = 4.0 * (labels[other] == label) + row % 3 / 2
        rows.append({"one": text, "two": texts[other], "score": score})
    for name, part in (("train", rows[:40]), ("validation", rows[40:])):
        lines = [json.dumps(row) for row in part]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    recipe = {
        "recipe": 1,
        "name": "vectors",
        "seed": 7,
        "task": {"kind": "vectors", "whitening": 16},
        "data": {
            "source": "files",
            "train": str(tmp_path / "train.jsonl"),
            "validation": str(tmp_path / "validation.jsonl"),
            "columns": {"text": "one", "text_pair": "two", "label": "score"},
            "max_length": 32,
        },
        "teacher": {"model": str(tiny_bert(hidden=48, heads=4))},
        "student": {"size": "1x32/2/64"},
        "baseline": SHORT,
        "stages": [
            {
                "kind": "distill",
                "name": "intermediate",
                "objectives": [{"kind": "embedding"}, {"kind": "hidden"}],
                **SHORT,
            },
            {
                "kind": "distill",
                "name": "prediction",
                "objectives": [{"kind": "vector"}, {"kind": "similarity", "weight": 10}],
                **SHORT,
            },
            {
                "kind": "prune",
                "heads": 0.5,
                "ffn": 0.5,
                "score_steps": 2,
                "batch_size": 8,
                "recover": SHORT,
            },
            {"kind": "quantize", "max_drop": 1.0},
            {"kind": "export"},
            {
                "kind": "evaluate",
                "batch_sizes": [1],
                "lengths": [8],
                "repeats": 3,
                "against": "bert-base",
            },
        ],
        "trainer": {"threads": 1, "precision": "fp32"},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    return path


@pytest.mark.slow
def test_every_stage(tmp_path: Path, vector_recipe: Path, distill) -> None:
    run = tmp_path / "run"
    done = distill("run", vector_recipe, "--run-dir", run)
    assert done.returncode == 0, done.stderr
    results = json.loads((run / "results.json").read_text("utf-8"))
    assert (results["task"], results["metric"]) == ("vectors", "spearman")
    rows = {row["name"]: row for row in results["models"]}
    assert list(rows) == [
        "linear", "teacher", "baseline", "intermediate", "prediction", "prune", "onnx", "onnx-int8",
    ]  # fmt: skip
    assert all(set(row["scores"]) == {"spearman", "pearson"} for row in rows.values())
    assert rows["onnx"]["score"] == pytest.approx(rows["prune"]["score"], abs=1e-3)
    assert rows["onnx-int8"]["score"] == pytest.approx(rows["prune"]["score"], abs=0.05)
    assert rows["prune"]["parameters"] < rows["prediction"]["parameters"]
    facts = json.loads((run / "07-export" / "stage.json").read_text("utf-8"))
    assert set(facts["whitening"]) == {"onnx", "onnx-int8", "sentences"}
    assert facts["whitening"]["sentences"] == 80
    assert "whitening to 16 of 32 dimensions: spearman" in facts["notes"][0]
    model = load(run, verify=True)
    assert model.encode(["a good film"]).shape == (1, 16)
    answer = distill("predict", run, "a good film", "--json")
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)["vector"]) == 16
    # Stages that are done again end in the same bytes.
    files = ["04-prediction/model/model.safetensors", "07-export/whitening.npz"]
    before = [(run / file).read_bytes() for file in files]
    for name in ("04-prediction", "07-export"):
        (run / name / "done.json").unlink()
    again = distill("resume", run)
    assert again.returncode == 0, again.stderr
    assert [(run / file).read_bytes() for file in files] == before


@pytest.mark.slow
def test_single_texts_and_a_teacher_tuned_on_pairs(
    tmp_path: Path, vector_recipe: Path, distill
) -> None:
    recipe = yaml.safe_load(vector_recipe.read_text("utf-8"))
    recipe["stages"] = [recipe["stages"][1]]
    recipe["teacher"]["finetune"] = SHORT
    recipe["baseline"] = False
    del recipe["task"]["whitening"]
    vector_recipe.write_text(yaml.safe_dump(recipe), "utf-8")
    done = distill("run", vector_recipe, "--run-dir", tmp_path / "tuned")
    assert done.returncode == 0, done.stderr
    single = tmp_path / "texts.jsonl"
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    single.write_text("".join(json.dumps({"one": row["one"]}) + "\n" for row in rows))
    settings = ["teacher.finetune=null", f"data.train={single}"]
    done = distill("run", vector_recipe, *settings, "--run-dir", tmp_path / "single")
    assert done.returncode == 0, done.stderr
    # Nothing can be trained on scores that are not there, which is told before anything is.
    done = distill("run", vector_recipe, f"data.train={single}", "--run-dir", tmp_path / "not")
    assert done.returncode == 2
    assert "have no scores" in done.stderr
    assert not (tmp_path / "not").exists()
