"""A run of sentence vectors through every stage, from the recipe to the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import task_kinds as kinds
from run_files import changed, facts, models, read_lines, recipe_at, write_lines
from safetensors.numpy import load_file

from distill.runtime import load
from distill.system.errors import DataError, ModelError
from students.heads import logits_of, outputs_of
from teachers.load import load_model, load_tokenizer

#: Objectives that compare vectors among each other.
_AMONG = ("similarity", "relational", "order")
SHORT = {"epochs": 1, "batch_size": 16, "lr": 1e-3}


@pytest.fixture
def vector_recipe(tmp_path: Path, tiny_recipe: Path, tiny_bert: Any, sentences: Any) -> Path:
    """The tiny recipe over pairs of sentences, alike where both are good or both are bad."""
    stages = recipe_at(tiny_recipe)["stages"]
    stages[0] |= {"objectives": [{"kind": "embedding"}, {"kind": "hidden"}], **SHORT}
    vectors = [{"kind": "vector"}, {"kind": "similarity", "weight": 10}]
    stages[1] |= {"objectives": vectors, **SHORT}
    stages[2] |= {"recover": SHORT}
    stages[4] = {"kind": "export"}
    return changed(
        tiny_recipe,
        task={"kind": "vectors", "whitening": 16},
        data=kinds.write_rows("vectors", tmp_path, *sentences),
        teacher={"model": str(tiny_bert(hidden=48, heads=4))},
        baseline=SHORT,
        stages=stages,
        trainer={"threads": 1, "precision": "fp32"},
        track={},
    )


@pytest.mark.slow
def test_every_stage(tmp_path: Path, vector_recipe: Path, distill) -> None:
    run = tmp_path / "run"
    done = distill("run", vector_recipe, "--run-dir", run)
    assert done.returncode == 0, done.stderr
    rows = models(run)
    assert list(rows) == [
        "linear", "teacher", "baseline", "intermediate", "prediction", "prune", "onnx", "onnx-int8",
    ]  # fmt: skip
    assert all(set(row["scores"]) == {"spearman", "pearson"} for row in rows.values())
    assert rows["onnx"]["score"] == pytest.approx(rows["prune"]["score"], abs=1e-3)
    assert rows["onnx-int8"]["score"] == pytest.approx(rows["prune"]["score"], abs=0.05)
    assert rows["prune"]["parameters"] < rows["prediction"]["parameters"]
    told = facts(run / "07-export")
    assert set(told["whitening"]) == {"onnx", "onnx-int8", "sentences"}
    assert told["whitening"]["sentences"] == 80
    assert "whitening to 16 of 32 dimensions: spearman" in told["notes"][0]
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
    recipe = recipe_at(vector_recipe)
    recipe["stages"] = [recipe["stages"][1]]
    recipe["teacher"]["finetune"] = SHORT
    recipe["baseline"] = False
    recipe["task"] = {"kind": "vectors"}
    changed(vector_recipe, **recipe)
    done = distill("run", vector_recipe, "--run-dir", tmp_path / "tuned")
    assert done.returncode == 0, done.stderr
    single = tmp_path / "texts.jsonl"
    write_lines(single, [{"one": row["one"]} for row in read_lines(tmp_path / "train.jsonl")])
    settings = ["teacher.finetune=null", f"data.train={single}"]
    done = distill("run", vector_recipe, *settings, "--run-dir", tmp_path / "single")
    assert done.returncode == 0, done.stderr
    # Nothing can be trained on scores that are not there, which is told before anything is.
    done = distill("run", vector_recipe, f"data.train={single}", "--run-dir", tmp_path / "not")
    assert done.returncode == 2
    assert "have no scores" in done.stderr
    assert not (tmp_path / "not").exists()


@pytest.mark.slow
def test_short_vectors_and_prompts(tmp_path: Path, vector_recipe: Path, distill) -> None:
    recipe = recipe_at(vector_recipe)
    prompts = {"query": "a: ", "passage": "b: "}
    recipe["baseline"] = False
    recipe["task"] = {"kind": "vectors", "matryoshka": [8, 16], "prompts": prompts}
    kinds = [{"kind": "vector", "loss": "l2"}, *({"kind": kind} for kind in _AMONG)]
    learn = recipe["stages"][1] | {"objectives": kinds}
    recipe["stages"] = [learn, {"kind": "export", "formats": ["transformers", "onnx"]}]
    changed(vector_recipe, **recipe)
    run = tmp_path / "run"
    done = distill("run", vector_recipe, "--run-dir", run)
    assert done.returncode == 0, done.stderr
    told = facts(run / "02-prediction")
    assert {"spearman", "spearman@16", "spearman@8"} <= set(told["scores"])

    model, texts = load(run), ["a good film", "nothing here is any good"]
    whole = model.encode(texts)
    short = whole[:, :8] / np.linalg.norm(whole[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(load(run, dim=8).encode(texts), short, atol=1e-6)
    with pytest.raises(DataError, match="take one of 16, 8"):
        load(run, dim=9)
    written = [f"a: {text}" for text in texts]
    np.testing.assert_array_equal(model.encode(written, prompt=""), whole)
    np.testing.assert_array_equal(
        load(run, prompt="passage").predict(texts)[0]["vector"],
        model.encode(texts, prompt="passage")[0].tolist(),
    )
    with pytest.raises(ModelError, match="no prompt 'other'; there are: query, passage"):
        model.encode(texts, prompt="other")
    file, npy = tmp_path / "texts.txt", tmp_path / "vectors.npy"
    file.write_text("\n".join(texts), "utf-8")
    done = distill("predict", run, "--file", file, "--npy", npy, "--dim", 8, "--prompt", "passage")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(npy), model.encode(texts, prompt="passage", dim=8))
    done = distill("predict", run, texts[0], "--dim", 7)
    assert (done.returncode, "take one of 16, 8" in done.stderr) == (2, True)
    # A pair's texts have a prompt each, as in training.
    [cosine] = model.similarity(texts[:1], texts[1:])
    second = model.encode(texts[1:], prompt="passage")[0]
    assert cosine == pytest.approx(float(whole[0] @ second), abs=1e-6)


@pytest.mark.slow
def test_the_bundle_is_a_folder_of_sentence_transformers(
    tmp_path: Path, vector_recipe: Path, distill
) -> None:
    libraries = pytest.importorskip("sentence_transformers", reason="the extra `sentences`")
    recipe = recipe_at(vector_recipe)
    recipe |= {"stages": [recipe["stages"][1], {"kind": "export"}], "baseline": False}
    texts = ["a good film", "nothing here is any good"]
    for name, task in (
        ("whitened", {"whitening": 16}),
        ("prompted", {"prompts": {"query": "a: ", "passage": "b: "}, "pooling": "cls"}),
        ("long", {"normalize": False, "keep_projection": True}),
    ):
        recipe["task"] = {"kind": "vectors", **task}
        changed(vector_recipe, **recipe)
        done = distill("run", vector_recipe, "--run-dir", tmp_path / name)
        assert done.returncode == 0, done.stderr
        theirs = libraries.SentenceTransformer(str(tmp_path / name / "bundle"), device="cpu")
        ours = load(tmp_path / name, format="onnx")
        np.testing.assert_allclose(theirs.encode(texts), ours.encode(texts), atol=1e-4)
        if name == "prompted":
            found = theirs.encode(texts, prompt_name="passage")
            np.testing.assert_allclose(found, ours.encode(texts, prompt="passage"), atol=1e-4)


@pytest.mark.slow
def test_vectors_in_the_teachers_space(tmp_path: Path, vector_recipe: Path, distill) -> None:
    recipe = recipe_at(vector_recipe)
    recipe["task"] = {"kind": "vectors", "keep_projection": True, "matryoshka": [40]}
    learn = {"objectives": [{"kind": "vector", "loss": "l2"}], "epochs": 8, "batch_size": 16}
    narrow = {"kind": "prune", "name": "narrow", "hidden": 0.25, "recover": SHORT}
    recipe["stages"][1] |= learn | {"lr": 3e-3}
    del recipe["stages"][0]
    recipe["stages"].insert(2, narrow | {"score_steps": 1, "batch_size": 8})
    changed(vector_recipe, **recipe)
    run = tmp_path / "run"
    done = distill("run", vector_recipe, "--run-dir", run)
    assert done.returncode == 0, done.stderr

    texts = ["a good film", "nothing here is any good", "the worst story of all"]

    def by_torch(folder: Path) -> np.ndarray:
        model = load_model(folder)
        tokens = load_tokenizer(folder)(texts, padding=True, return_tensors="pt")
        found = logits_of(model, dict(tokens)).detach().numpy()
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    teacher = by_torch(run / "01-teacher" / "model")
    assert teacher.shape == (3, 48)
    student = load_model(run / "03-prediction" / "model")
    assert outputs_of(student) == 48
    cosines = {
        name: (by_torch(run / name / "model") * teacher).sum(axis=1).mean()
        for name in ("02-baseline", "03-prediction", "05-narrow")
    }
    assert cosines["03-prediction"] > max(0.9, cosines["02-baseline"] + 0.1), cosines
    assert cosines["05-narrow"] > 0.8, cosines
    # Every format of the bundle gives the vectors of the last student, projection included.
    last = by_torch(run / "05-narrow" / "model")
    np.testing.assert_allclose(load(run, format="onnx").encode(texts), last, atol=1e-5)
    np.testing.assert_allclose(by_torch(run / "bundle"), last, atol=1e-5)
    assert (load(run).encode(texts) * last).sum(axis=1).min() > 0.99
    weights = load_file(run / "05-narrow" / "model" / "model.safetensors")
    assert weights["sentence_layers.0.0.weight"].shape == (48, 24)
    dense = load_file(run / "bundle" / "2_Dense" / "model.safetensors")
    np.testing.assert_array_equal(dense["linear.weight"], weights["sentence_layers.0.0.weight"])
    told = facts(run / "07-export")
    assert set(told["cosine_to_teacher"]) == {"onnx", "onnx-int8"}
    assert "the teacher's space of 48 dimensions" in told["notes"][0]
    assert "in the space of the teacher's" in (run / "bundle" / "README.md").read_text("utf-8")
    assert load(run, dim=40).encode(texts).shape == (3, 40)
    # The linear model has cosines, and no vectors that could be cut.
    rows = models(run)
    assert {name for name in rows if "spearman@40" in rows[name]["scores"]} == {*rows} - {"linear"}
    answer = distill("predict", run, texts[0], "--json")
    assert len(json.loads(answer.stdout)["vector"]) == 48
    before = (run / "05-narrow" / "model" / "model.safetensors").read_bytes()
    for name in ("03-prediction", "04-prune"):
        (run / name / "done.json").unlink()
    again = distill("resume", run)
    assert again.returncode == 0, again.stderr
    assert (run / "05-narrow" / "model" / "model.safetensors").read_bytes() == before
