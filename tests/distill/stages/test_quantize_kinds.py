"""int8 on every kind of task: what is scored is what the bundle runs, and there is a way back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from bundles import bundle_behind, openvino

from distill.evaluation.predictors import FilePredictor
from distill.pruning.masks import Masks, layer_sizes
from distill.pruning.surgery import slice_model
from distill.quantization.graph import products
from distill.runtime import load
from distill.stages import quantize as stage
from distill.stages.quantize import quantize_stage
from distill.system import digest
from distill.tasks.qa.analysis import best_of

TRAIN = {"epochs": 1, "batch_size": 16}
KINDS = ("ner", "qa", "vectors")


def unevenly_pruned(student: Any) -> Any:
    """A layer without heads, one without neurons."""
    heads, ffn = layer_sizes(student)
    return slice_model(
        student,
        Masks(
            [torch.arange(heads[0]) < count for count in (3, 0, 2)],
            [torch.arange(ffn[0]) < count for count in (20, 7, 0)],
        ),
    )


def quantized(of_kind: Any, kind: str, formats: tuple[str, ...], **settings: Any) -> Any:
    """The context of an export stage behind a quantize stage, both done, and what it told."""
    change = settings.pop("change", None)
    stage = {"kind": "quantize", "calibration_examples": 12, "max_drop": 1.0, **settings}
    context = of_kind(kind, stage, change=change, formats=formats)
    facts = quantize_stage(context.stage.config, context).facts
    bundle_behind(context, facts)
    return context, facts


def told_by_the_runtime(context: Any, format: str) -> float:
    """The task's score, from what the bundle's runtime answers to the validation examples."""
    split = context.workspace.data.validation
    model: Any = load(context.run.bundle, format=format, threads=1, verify=True)
    if split.name and context.recipe.task.kind == "vectors":
        from scipy.stats import spearmanr

        pairs = np.sum(model.encode(split.texts) * model.encode(split.pairs), axis=1)
        return float(spearmanr(pairs, split.labels).statistic)
    if context.recipe.task.kind == "qa":
        answers = model.predict(split.questions, split.contexts)
        golds = [[text for text, _ in row] for row in split.answers]
        pairs = zip(answers, golds, strict=True)
        return float(np.mean([best_of(one["answer"], gold)[1] for one, gold in pairs]))
    right = found = true = 0
    types = split.tag_set.types
    for row, one in enumerate(model.predict(split.texts)):
        said = {(part["type"], part["start"], part["end"]) for part in one["entities"]}
        gold = {(types[kind], start, end) for kind, start, end in split.entities(row)}
        right, found, true = right + len(said & gold), found + len(said), true + len(gold)
    return 2 * right / (found + true)


def check_bundle(context: Any, facts: dict[str, Any], *, atol: float) -> None:
    """The bundle holds the files that were scored, and answers as they did."""
    bundle = context.run.bundle
    manifest = json.loads((bundle / "distill.json").read_text("utf-8"))
    for format, file in facts["files"].items():
        if format not in manifest["formats"]:
            continue
        kept = bundle / manifest["formats"][format]["file"]
        assert digest.of_file(kept) == digest.of_file(context.folder / file)
    assert manifest["default"] == facts["format"]
    told = told_by_the_runtime(context, facts["format"])
    assert told == pytest.approx(facts["score"], abs=atol)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "algorithm"), [("ner", "qat"), ("qa", "lsq"), ("vectors", "qat")])
def test_what_was_trained_for_int8_is_what_runs(of_kind, kind: str, algorithm: str) -> None:
    context, facts = quantized(
        of_kind,
        kind,
        ("transformers", "onnx"),
        method="qat",
        algorithm=algorithm,
        train=TRAIN,
        change=unevenly_pruned,
    )
    assert facts["kept"] == f"trained ({algorithm}), per channel"
    assert facts["format"] == "onnx-int8"
    graph = onnx.load(str(context.folder / "onnx/model_quantized.onnx"))
    assert not products(graph)  # every product's weights are int8
    assert np.isfinite(facts["score"])
    check_bundle(context, facts, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_calibrated_scales_are_what_runs(of_kind, kind: str) -> None:
    context, facts = quantized(of_kind, kind, ("transformers", "onnx"), method="static")
    assert facts["kept"] == "static minmax, per channel"
    assert facts["score"] == pytest.approx(facts["score_fp32"], abs=0.25)
    check_bundle(context, facts, atol=1e-6)


@pytest.mark.slow
@openvino
@pytest.mark.parametrize(("kind", "method"), [("vectors", "auto"), ("qa", "nncf")])
def test_openvino_and_all_together(of_kind, kind: str, method: str) -> None:
    formats = ("transformers", "onnx", "openvino", "torch-export")
    context, facts = quantized(of_kind, kind, formats, method=method, change=unevenly_pruned)
    tried = {one["what"]: one for one in facts["tried"]}
    if method == "nncf":
        assert list(tried) == ["nncf, SmoothQuant 0.95"]
    else:
        assert len(tried) == 4
        assert facts["kept"] == min(tried, key=lambda what: tried[what]["ms"])
    check_bundle(context, facts, atol=1e-6)
    bundle = context.run.bundle
    score = told_by_the_runtime(context, "openvino")
    assert score == pytest.approx(told_by_the_runtime(context, "onnx"), abs=1e-3)
    assert score == pytest.approx(facts["score_fp32"], abs=1e-3)
    assert (bundle / "model.pt2").is_file()


FRAGILE = "encoder.layer.1.intermediate.dense"


def fragile_layer(student: Any) -> None:
    """int8 ruins one product, fp32 does not change: a huge weight on an input that is always 0."""
    layer = student.base_model.encoder.layer[1]
    with torch.no_grad():
        norm = layer.attention.output.LayerNorm
        norm.weight[3] = norm.bias[3] = 0.0
        layer.intermediate.dense.weight[:, 3] = 1e4


def agreement(path: Any, format: str, context: Any) -> float:
    """How much of the fp32 outputs is left, for models whose true scores say little."""
    predictors = [
        FilePredictor(file, 1, name=name, format=name)
        for file, name in ((path, format), (context.folder / "onnx/model.onnx", "onnx"))
    ]
    rows = context.workspace.tokenized(context.workspace.data.validation)
    error = spread = 0.0
    for index in range(8):
        ids = np.asarray(rows[index]["input_ids"], dtype=np.int64)[None]
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        found, expected = (predictor(given) for predictor in predictors)
        error += float(np.abs(found - expected).sum())
        middle = expected.mean() if expected.size > 1 else 0.0  # a regression has one output
        spread += float(np.abs(expected - middle).sum())
    return max(0.0, 1.0 - error / spread)


ALL = ("classification", "multi_label", "regression", "ner", "qa", "vectors")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "method"),
    [*((kind, "static" if kind in ("ner", "vectors") else "dynamic") for kind in ALL)],
)
def test_the_one_layer_that_int8_ruins_stays_in_fp32(
    of_kind, monkeypatch, kind: str, method: str
) -> None:
    monkeypatch.setattr(stage, "scored_file", agreement)
    context, facts = quantized(
        of_kind,
        kind,
        ("transformers", "onnx"),
        method=method,
        max_drop=0.3,
        change=fragile_layer,
    )
    assert facts["tried"][0]["drop"] > 0.3
    left = products(onnx.load(str(context.folder / "onnx/model_quantized.onnx")))
    assert [product.name.removeprefix("bert.") for product in left] == [FRAGILE]
    assert facts["kept"].endswith(f"1 layer in fp32 ({left[0].name})")
    assert facts["notes"][-1].startswith(f"kept {facts['kept']}")
    assert "1 of 2 tried lost more than 0.3" in facts["notes"][-1]
    manifest = json.loads((context.run.bundle / "distill.json").read_text("utf-8"))
    assert manifest["default"] == "onnx-int8"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "method"), [("ner", "dynamic"), ("qa", "qat"), ("vectors", "dynamic")]
)
def test_where_nothing_passes_fp32_is_saved(of_kind, monkeypatch, kind: str, method: str) -> None:
    monkeypatch.setattr(
        stage, "scored_file", lambda path, format, _: 1.0 if format == "onnx" else 0.5
    )
    train = {"train": TRAIN} if method == "qat" else {}
    context, facts = quantized(
        of_kind, kind, ("transformers", "onnx"), method=method, max_drop=0.0, **train
    )
    assert (facts["kept"], facts["files"]) == ("fp32", {"onnx": "onnx/model.onnx"})
    assert facts["notes"][-1].startswith("kept fp32")
    model = load(context.run.bundle, verify=True)
    assert model.format == "onnx"
    assert list(model.manifest.formats) == ["transformers", "onnx"]
