"""A classifier on vectors: the regression itself, and the bundle that holds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distill.data.split import Split, TaskData
from distill.export.head import fit_head, fit_head_bundle
from distill.runtime import load
from distill.system.errors import DataError, ModelError


def clusters(classes: int, rows: int = 90) -> tuple[np.ndarray, list[int]]:
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(classes, 12))
    labels = [row % classes for row in range(rows)]
    vectors = centres[labels] + 0.3 * draw.normal(size=(rows, 12))
    return vectors.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learn_s_regression(classes: int) -> None:
    from sklearn.linear_model import LogisticRegression

    vectors, labels = clusters(classes)
    head = fit_head(vectors, labels, classes=classes, strength=1.0)
    other = LogisticRegression(C=1.0, max_iter=2000).fit(vectors.astype(np.float64), labels)
    logits = (vectors @ head.weight + head.bias).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, other.predict_proba(vectors), atol=1e-4)
    assert (head.predict(vectors) == np.asarray(labels)).mean() > 0.9


def test_a_class_without_rows_is_never_chosen() -> None:
    vectors, labels = clusters(2)
    head = fit_head(vectors, [2 * label for label in labels], classes=3)
    assert head.weight.shape == (12, 3)
    assert set(head.predict(vectors).tolist()) == {0, 2}
    assert head.strength in (1.0, 10.0, 100.0)
    with pytest.raises(DataError, match="same label"):
        fit_head(vectors, [1] * 90, classes=2)


def rows(sentences: tuple[list[str], list[int]]) -> TaskData:
    texts, labels = sentences
    train = Split("train", texts[:48], labels[:48])
    validation = Split("validation", texts[48:], labels[48:])
    return TaskData(train, validation, None, ("bad", "good"))


def test_a_bundle_that_classifies(
    vector_bundle: Callable[..., Path],
    sentences: tuple[list[str], list[int]],
    tmp_path: Path,
) -> None:
    source, out = vector_bundle(whitening=24), tmp_path / "head"
    facts = fit_head_bundle(source, out, rows(sentences))
    assert facts["strength"] in (1.0, 10.0, 100.0)
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == [
        "distill.json", "head.npz", "model.onnx", "model_quantized.onnx", "tokenizer.json",
        "tokenizer_config.json", "whitening.npz",
    ]  # fmt: skip
    model = load(out)
    texts = sentences[0][48:]
    found = [model.labels.index(one["label"]) for one in model.predict(texts)]
    right = np.mean(np.asarray(found) == np.asarray(sentences[1][48:]))
    assert right == pytest.approx(facts["scores"]["validation"]["accuracy"])
    assert model.predict([]) == []
    encoder = load(source)
    expected = encoder.encode(texts) @ model.decoder.weight + model.decoder.bias
    np.testing.assert_allclose(model.logits(texts), expected, rtol=1e-4, atol=1e-4)
    content = json.loads((out / "distill.json").read_text())
    assert content["task"] == "classification"
    assert set(content["formats"]) == {"onnx", "onnx-int8"}
    load(out, verify=True)
    (out / "head.npz").write_bytes((out / "head.npz").read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"head\.npz"):
        load(out, verify=True)


def test_what_it_is_not_fitted_on(
    bundle: Callable[..., Path],
    vector_bundle: Callable[..., Path],
    sentences: tuple[list[str], list[int]],
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelError, match="a bundle for classification"):
        fit_head_bundle(bundle(), tmp_path / "out", rows(sentences))
    source = vector_bundle()
    with pytest.raises(ModelError, match="sentence encoder itself"):
        fit_head_bundle(source, source, rows(sentences))
