"""Vectors from a bundle, against torch and by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from distill.runtime import BundleModel, load
from distill.system.errors import DataError, ModelError
from distill.tasks.vectors.finish import Whitening

TEXTS = ["the best film", "bad", "a very long and dull story of the old year", ""]


def opened(folder: Path, **options: object) -> BundleModel:
    model = load(folder, **options)  # type: ignore[arg-type]
    assert model.decoder.gives_vectors
    return model


def pooled(folder: Path, texts: list[str]) -> np.ndarray:
    """Mean over real tokens of the last hidden states, one text at a time."""
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    found = []
    for text in texts:
        with torch.inference_mode():
            hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        found.append(hidden[0].mean(dim=0).numpy())
    return np.stack(found)


def test_vectors_are_the_mean_of_tokens(vector_bundle: Callable[..., Path]) -> None:
    folder = vector_bundle()
    expected = pooled(folder, TEXTS)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = opened(folder, format="onnx").encode(TEXTS, batch_size=3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    small = opened(folder).encode(TEXTS, instances=2)
    assert (small * expected).sum(axis=1).min() > 0.99


def test_the_first_token(vector_bundle: Callable[..., Path]) -> None:
    folder = vector_bundle(pooling="cls", normalize=False)
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        expected = model(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state[:, 0]
    found = opened(folder, format="onnx").encode(TEXTS[:1])
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_similarities(vector_bundle: Callable[..., Path]) -> None:
    model = opened(vector_bundle())
    found = model.similarity(TEXTS[:2], [TEXTS[0], TEXTS[2]])
    assert found[0] == pytest.approx(1, abs=1e-5)
    vectors = model.encode(TEXTS)
    # Within what int8 makes of a text in another batch.
    assert found[1] == pytest.approx(float(vectors[1] @ vectors[2]), abs=1e-2)
    with pytest.raises(DataError, match="2 texts but 1 pairs"):
        model.similarity(TEXTS[:2], ["one"])
    with pytest.raises(DataError, match="texts is one string"):
        model.similarity("one", ["one"])


def test_whitening_is_applied(vector_bundle: Callable[..., Path]) -> None:
    folder = vector_bundle(whitening=6)
    model = opened(folder)
    plain = model.encode(TEXTS, whiten=False)
    assert plain.shape == (4, 32)
    expected = Whitening.read(folder / "whitening.npz")(plain)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-5)
    assert model.encode([]).shape == (0, 6)
    (folder / "whitening.npz").unlink()
    with pytest.raises(ModelError, match=r"whitening\.npz: missing"):
        load(folder)
