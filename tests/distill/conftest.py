"""What several rooms test with: a finished bundle of a tiny model, and a finished run's files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sample_run

Bundle = Callable[..., Path]


@pytest.fixture(scope="session")
def _graphs() -> dict[str, bytes]:
    return {}


@pytest.fixture
def exported_once(_graphs: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that an earlier test exported gets the same graph again: making it takes seconds.

    Only for tests whose point is not the exporter; the graph is checked against torch every time.
    """
    from distill.export import onnx
    from distill.system import digest

    make = onnx._graph  # behind it stands the check, which is to be done

    def once(model: Any) -> bytes:
        weights = [(n, str(w.dtype), w.numpy().tobytes().hex()) for n, w in
                   model.state_dict().items()]  # fmt: skip
        key = digest.of_json([type(model).__name__, model.config.to_json_string(), weights])
        if key not in _graphs:
            _graphs[key] = make(model)
        return _graphs[key]

    monkeypatch.setattr(onnx, "_graph", once)


@pytest.fixture(scope="session")
def _bundle_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture
def bundle(tiny_bert: Callable[..., Path], _bundle_store: Path, tmp_path: Path) -> Bundle:
    """A factory of bundles (transformers, onnx, onnx-int8) of ``tiny_bert``, free to be changed.

    ``bundle(pair=False, max_length=16)``; the model has three labels.
    """

    def build(*, pair: bool = False, max_length: int = 16) -> Path:
        kept = _bundle_store / f"{pair}-{max_length}"
        if not kept.exists():
            _export_classifier(
                tiny_bert(labels=("bad", "fair", "good"), seed=3), kept, pair, max_length
            )
        folder = tmp_path / "bundle"
        shutil.copytree(kept, folder)
        return folder

    return build


@pytest.fixture
def vector_bundle(tiny_bert: Callable[..., Path], _bundle_store: Path, tmp_path: Path) -> Bundle:
    """A factory of a sentence encoder's bundles (transformers, onnx, onnx-int8); may be changed.

    ``vector_bundle(pooling="mean", normalize=True, whitening=None)``; vectors are 32 wide.
    """

    def build(
        *, pooling: str = "mean", normalize: bool = True, whitening: int | None = None
    ) -> Path:
        kept = _bundle_store / f"vectors-{pooling}-{normalize}-{whitening}"
        if not kept.exists():
            _export_vectors(tiny_bert(seed=5), kept, pooling, normalize, whitening)
        folder = tmp_path / "vector_bundle"
        shutil.copytree(kept, folder)
        return folder

    return build


def _export(model: Any, tokenizer: Any, folder: Path, **about: Any) -> None:
    """Write the bundle of a model in three formats, with facts about it and files ``beside``."""
    from distill.export.bundle import write_bundle
    from distill.export.onnx import export_onnx
    from distill.export.transformers_folder import save_transformers
    from distill.quantization.onnx_int8 import quantize_onnx

    work, beside = folder.with_name(folder.name + "-work"), about.pop("beside", {})
    save_transformers(model, tokenizer, work / "transformers")
    export_onnx(model, work / "model.onnx")
    quantize_onnx(work / "model.onnx", work / "model.int8.onnx")
    write_bundle(
        folder,
        transformers_folder=work / "transformers",
        tokenizer_folder=work / "transformers",
        models={"onnx": work / "model.onnx", "onnx-int8": work / "model.int8.onnx"},
        info={"name": "tiny", **about},
        beside=beside,
    )


def _export_vectors(
    source: Path, folder: Path, pooling: str, normalize: bool, whitening: int | None
) -> None:
    import numpy as np
    from transformers import AutoTokenizer

    from distill.system import digest
    from distill.tasks.vectors.finish import WHITENING, fit_whitening
    from teachers.load import load_sentence_encoder

    settings: dict[str, Any] = {"pooling": pooling, "normalize": normalize}
    beside = {}
    if whitening is not None:
        beside[WHITENING] = folder.with_name(f"{folder.name}-{WHITENING}")
        draw = np.random.default_rng(0).normal(size=(200, 32)) / 6
        fit_whitening(draw, whitening).write(beside[WHITENING])
        entry = {"file": WHITENING, "sha256": digest.of_file(beside[WHITENING])}
        settings["whitening"] = entry | {"dimensions": whitening}
    model = load_sentence_encoder(source, pooling=pooling)
    about = {"task": "vectors", "labels": [], "settings": settings, "beside": beside}
    tokenizer = AutoTokenizer.from_pretrained(source)
    _export(model, tokenizer, folder, pair=False, max_length=16, **about)


def _export_classifier(source: Path, folder: Path, pair: bool, max_length: int) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model.classifier.weight.data.mul_(10)
    tokens = tokenizer(["the best film", "bad", ""], return_tensors="pt", padding=True)
    model.classifier.bias.data.sub_(model.eval()(**tokens).logits.mean(0))  # so that labels differ
    about = {"task": "classification", "labels": ["bad", "fair", "good"]}
    _export(model, tokenizer, folder, pair=pair, max_length=max_length, **about)


@pytest.fixture
def sample_results() -> Callable[..., dict[str, Any]]:
    """A factory of results with believable numbers.

    ``sample_results(models=..., timed=True, split="test", **head)``: other rows, no timing, or
    other entries of the head.
    """
    return sample_run.build_sample


@pytest.fixture
def sample_models() -> list[tuple[Any, ...]]:
    """The rows that ``sample_results`` makes by default, to be changed by a test."""
    return list(sample_run.MODELS)


@pytest.fixture
def finished_run(tmp_path: Path) -> Path:
    """The run folder ``quickstart`` as a finished run leaves it, without models."""
    return sample_run.write_run(tmp_path / "quickstart")
