"""A real sentence encoder as a bundle: similarities, a classifier, the gist of a chapter."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from distill.data.split import Split, TaskData
from distill.export.folder import export_folder
from distill.export.head import fit_head_bundle
from distill.export.transformers_folder import save_transformers
from distill.runtime import BundleModel, load
from teachers.load import load_sentence_encoder, load_tokenizer

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged MiniLM as a bundle."""
    folder = tmp_path_factory.mktemp("minilm")
    model = load_sentence_encoder("minilm-l6", pooling="mean")
    save_transformers(model, load_tokenizer("minilm-l6"), folder / "model")
    made = export_folder(
        folder / "model", folder / "bundle", formats=["onnx", "onnx-int8"], max_length=64
    )
    assert made == ["onnx", "onnx-int8"]
    return folder / "bundle"


def opened(folder: Path, format: str) -> BundleModel:
    model = load(folder, format=format)
    assert model.decoder.gives_vectors
    return model


def lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from file


def test_int8_keeps_the_score_of_sts_b(encoder: Path, real_data: Path) -> None:
    rows = [json.loads(line) for line in lines(real_data / "glue_stsb" / "dev.jsonl.gz")][::8]
    first, second = [r["sentence1"] for r in rows], [r["sentence2"] for r in rows]
    given = [r["label"] for r in rows]
    scores = {
        name: spearmanr(opened(encoder, name).similarity(first, second), given)[0]
        for name in ("onnx", "onnx-int8")
    }
    assert scores["onnx"] > 0.82
    assert abs(scores["onnx-int8"] - scores["onnx"]) < 0.01


def test_questions_are_told_apart(encoder: Path, real_data: Path, tmp_path: Path) -> None:
    def split(name: str, file: str, every: int) -> Split:
        rows = [json.loads(line) for line in lines(real_data / "trec6" / file)][::every]
        return Split(name, [row["text"] for row in rows], [row["label"] for row in rows])

    labels = tuple(json.loads((real_data / "trec6" / "labels.json").read_text()))
    data = TaskData(
        split("train", "train.jsonl.gz", 6), split("validation", "test.jsonl.gz", 2), None, labels
    )
    facts = fit_head_bundle(encoder, tmp_path / "trec6", data)
    assert facts["scores"]["validation"]["accuracy"] > 0.7
    [one] = load(tmp_path / "trec6").predict(["Where is the Eiffel Tower ?"])
    assert one["label"] == "LOC"
