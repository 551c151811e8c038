"""What the evaluation writes: all predictions, and where teacher and student differ."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from transformers import AutoTokenizer

from distill.data.batches import make_loader
from distill.data.split import Split
from distill.evaluation.error_analysis import (
    of_final,
    of_model,
    read_predictions,
    write_analysis,
)
from distill.system.errors import RunFolderError
from distill.tasks.classification.task import Classification
from distill.tasks.ner.task import Ner
from distill.tasks.ner.tokens import tagged
from distill.tasks.vectors.data import VectorSplit
from distill.tasks.vectors.task import Vectors
from distill.text.tags import TagSet, tags_of

SPLIT = Split("test", ["first", "second", "third"], [0, 1, 1], pairs=["a", "b", "c"])


def analysed():
    task = Classification(["no", "yes"])
    analysis = task.analysis(SPLIT, None, None)
    for name, logits in [
        ("teacher", [[2.0, 0.0], [0.0, 1.0], [0.0, 3.0]]),
        ("onnx-int8", [[0.0, 1.0], [0.0, 1.0], [4.0, 0.0]]),
    ]:
        keep = analysis.keeper(name, task, None)
        keep(np.array(logits, np.float32), {"index": np.arange(3)})
    return analysis


def test_the_files_hold_answers_and_the_surest_differences_first(tmp_path):
    analysis = analysed()
    written = write_analysis(analysis, tmp_path)
    assert [path.name for path in written] == ["predictions.npz", "disagreements.json"]
    assert list(read_predictions(written[0]).models) == ["teacher", "onnx-int8"]
    content = json.loads(written[1].read_text("utf-8"))
    assert content["model"] == "onnx-int8"
    assert [row["row"] for row in content["rows"]] == [2, 0]
    first = content["rows"][0]
    assert (first["text"], first["text_pair"], first["label"]) == ("third", "c", "yes")
    assert first["teacher"]["prediction"] == "yes"
    assert first["model"]["prediction"] == "no"
    assert round(first["model"]["confidence"], 3) == 0.982


def test_the_file_holds_plain_arrays_and_is_the_same_each_time(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_analysis(analysed(), tmp_path / name)
    one, two = (tmp_path / name / "predictions.npz" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    with np.load(one, allow_pickle=False) as content:
        assert all(content[key].dtype != object for key in content)
    back = read_predictions(one)
    assert (back.task, list(back.models)) == ("classification", ["teacher", "onnx-int8"])
    assert back.shared["targets"].tolist() == [0, 1, 1]
    np.testing.assert_array_equal(back.models["teacher"]["outputs"], analysed().outputs["teacher"])


def test_a_broken_file_is_told_with_what_to_do(tmp_path):
    path = tmp_path / "run" / "08-evaluate" / "predictions.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(RunFolderError, match=r"distill evaluate .*run --rerun"):
        read_predictions(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("models.npy", b"")
    with pytest.raises(RunFolderError, match="cannot be read"):
        read_predictions(path)


TAGS = TagSet(tags_of(["person", "place"], "bio"), "bio")


def test_a_teacher_that_reads_other_words_is_left_out(tmp_path, tiny_bert, caplog):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert())
    split = tagged("test", [["Ann", "sings"], ["Lee"]], [[1, 0], [1]], TAGS)
    rows = split.encode(tokenizer, max_length=16)
    task = Ner(TAGS.labels)
    analysis = task.analysis(split, rows, tokenizer)
    assert of_final(analysis) == {}
    assert write_analysis(analysis, tmp_path) == []
    other = split.take([0]).encode(tokenizer, max_length=16)
    with caplog.at_level("INFO", logger="distill"):
        assert analysis.keeper("teacher", task, other) is None
    assert "teacher: reads other words than the student" in caplog.text
    assert of_model(analysis, "teacher") == {}
    keep = analysis.keeper("onnx", task, rows)
    for batch in make_loader(rows, 2, seed=0, shuffle=False):
        keep(np.zeros((*batch["labels"].shape, 5), np.float32), batch)
    assert of_final(analysis)["disagreement"] is None
    assert [path.name for path in write_analysis(analysis, tmp_path)] == ["predictions.npz"]


def test_of_vectors_the_cosines_of_pairs_are_kept(tmp_path, tiny_bert):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert())
    texts, pairs = ["a film", "the good film", "bad"], ["the film", "good", "a bad one here"]
    split = VectorSplit("test", texts, [4.0, 1.0, 3.0], pairs=pairs)
    rows = split.encode(tokenizer, max_length=16)
    task = Vectors()
    analysis = task.analysis(split, rows, tokenizer)
    random = np.random.default_rng(0)
    teacher = random.normal(size=(6, 8)).astype(np.float32)
    onnx = teacher.copy()
    onnx[1::2] *= -3.0  # the other way round, and longer
    drawn = {"teacher": teacher, "onnx": onnx}
    for name, vectors in drawn.items():
        keep = analysis.keeper(name, task, rows)
        for batch in make_loader(rows, 2, seed=0, shuffle=False):
            keep(vectors[batch["index"]], batch)
        assert of_model(analysis, name)["calibration"] is None
    path, differ = write_analysis(analysis, tmp_path)
    kept = read_predictions(path)
    assert (kept.task, kept.shared["targets"].tolist()) == ("vectors", [4.0, 1.0, 3.0])
    for name, vectors in drawn.items():
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = (unit[::2] * unit[1::2]).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(kept.models[name]["outputs"], cosines, atol=1e-6)
    places = {name: kept.models[name]["outputs"][:, 0].argsort().argsort() for name in drawn}
    apart = np.abs(places["teacher"] - places["onnx"])
    content = json.loads(differ.read_text("utf-8"))["rows"]
    assert apart.max() == 2
    assert [apart[row["row"]] for row in content] == sorted(apart[apart > 0].tolist())[::-1]
    first = content[0]
    assert (first["text"], first["text_pair"]) == (texts[first["row"]], pairs[first["row"]])
    assert first["model"]["prediction"] == f"{kept.models['onnx']['outputs'][first['row'], 0]:.3f}"
    assert of_final(analysis) == {"confusion": None, "disagreement": None}
