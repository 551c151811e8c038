import json
import logging
import shutil

import numpy as np
import onnx
import pytest
import torch
from bundles import bundle_behind, openvino

from distill.quantization.graph import products
from distill.stages.quantize import quantize_stage
from distill.system.errors import GateError, ModelError

POOLER = "bert.pooler.dense"


def fragile_pooler(model):
    """int8 ruins the pooler, fp32 does not change: a huge weight on an input that is always 0."""
    norm = model.bert.encoder.layer[-1].output.LayerNorm
    with torch.no_grad():
        norm.weight[3] = norm.bias[3] = 0.0
        model.bert.pooler.dense.weight[:, 3] = 1e4


def run(context):
    return quantize_stage(context.stage.config, context)


def fp32_products(path):
    return {product.name for product in products(onnx.load(str(path)))}


def test_int8_that_passes_is_kept_as_it_is(prepared):
    context = prepared(max_drop=0.3)
    facts = run(context).facts
    assert facts["kept"] == "static minmax, per channel"
    assert facts["files"] == {"onnx": "onnx/model.onnx", "onnx-int8": "onnx/model_quantized.onnx"}
    assert facts["score_fp32"] == 1.0
    assert [tried["what"] for tried in facts["tried"]] == ["static minmax, per channel"]
    assert (context.folder / "onnx/model_quantized.onnx").stat().st_size == facts["bytes"]
    assert facts["isa"] == list(facts["isa"])
    assert len(facts["notes"]) == 1
    assert facts["notes"][0].startswith("kept static minmax, per channel: accuracy ")


def test_a_layer_that_int8_ruins_stays_in_fp32_and_only_that(prepared, caplog):
    context = prepared(change=fragile_pooler, max_drop=0.05, method="static")
    with caplog.at_level(logging.INFO, logger="distill"):
        facts = run(context).facts
    assert facts["tried"][0]["drop"] > 0.05
    assert [note.partition(" ")[0] for note in facts["notes"]] == ["tried", "tried", "kept"]
    assert facts["kept"].endswith(f"1 layer in fp32 ({POOLER})")
    assert facts["score"] >= 0.95
    assert fp32_products(context.folder / "onnx/model_quantized.onnx") == {POOLER}
    assert "kept" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("; 1 of 2 tried lost more than 0.05")
    assert facts["notes"][-1] in caplog.messages[-1]


def test_where_only_small_weights_pass_they_are_taken(prepared, monkeypatch):
    from distill.quantization import int8_fallback

    monkeypatch.setattr(int8_fallback, "_fewest_in_fp32", lambda _: None)
    context = prepared(change=fragile_pooler, max_drop=0.05)
    facts = run(context).facts
    # The pooler's weights do not survive 8 bits at all; the tables do.
    assert [tried["what"] for tried in facts["tried"]] == [
        "static minmax, per channel", "dynamic per_token, per channel", "weights only, 8 bits",
        "embeddings only",
    ]  # fmt: skip
    assert facts["kept"] == "embeddings only"
    assert (context.folder / "onnx/model_quantized.onnx").is_file()


def bundled(context):
    bundle = bundle_behind(context, run(context).facts)
    return sorted(path.name for path in bundle.rglob("*.onnx"))


def test_int8_alone_is_exported(prepared):
    context = prepared(max_drop=1.0, formats=("onnx-int8",))
    assert bundled(context) == ["model_quantized.onnx"]
    assert not (context.run.bundle / "model.safetensors").exists()


@pytest.mark.parametrize("formats", [("onnx-int8",), ("transformers", "onnx-int8")])
def test_where_int8_alone_is_asked_for_and_none_passes_fp32_is_exported(
    prepared, monkeypatch, caplog, formats
):
    from distill.stages import quantize

    monkeypatch.setattr(
        quantize, "scored_file", lambda path, format, _: 1.0 if format == "onnx" else 0.5
    )
    context = prepared(max_drop=0.0, formats=formats)
    assert bundled(context) == ["model.onnx"]
    assert "nothing is int8" in caplog.text


def test_without_fallback_the_run_stops(prepared):
    context = prepared(change=fragile_pooler, max_drop=0.05, fallback=False)
    with pytest.raises(GateError, match=r"max_drop is 0\.05.*stages\.quantize\.max_drop="):
        run(context)


def test_layers_are_excluded_by_name(prepared):
    context = prepared(max_drop=1.0, exclude=["classifier"])
    assert run(context).facts["kept"].endswith("1 layer in fp32 (classifier)")
    assert fp32_products(context.folder / "onnx/model_quantized.onnx") == {"classifier"}
    other = context.stage.config.model_copy(update={"exclude": ["head"]})
    with pytest.raises(ModelError, match=r"no layer 'head'; there are: .*bert\.pooler\.dense"):
        quantize_stage(other, context)


@pytest.mark.parametrize(
    ("bits", "name"), [(8, "onnx/model_quantized.onnx"), (4, "onnx/model_q4.onnx")]
)
def test_small_weights(prepared, bits, name):
    context = prepared(method="weights_only", bits=bits, max_drop=1.0)
    facts = run(context).facts
    assert (context.folder / name).stat().st_size < (
        context.folder / "onnx/model.onnx"
    ).stat().st_size
    assert facts["format"] == f"onnx-int{bits}"


def test_scales_over_the_batch_are_an_option_that_says_what_it_does(prepared, caplog):
    context = prepared(method="dynamic", activation_scales="per_batch", max_drop=1.0)
    facts = run(context).facts
    assert facts["kept"] == "dynamic per_batch, per channel"
    assert facts["formats"] == {
        "onnx-int8": {"activation_scales": "per_batch", "weight_bits": 7},
    }
    assert "will depend on the texts that share its batch, and on padding" in caplog.text


@pytest.mark.slow
@openvino
def test_an_openvino_bundle_predicts_what_onnx_predicts(prepared):
    from distill.runtime import load

    context = prepared(method="nncf", max_drop=1.0, formats=("transformers", "onnx", "openvino"))
    result = run(context)
    assert result.facts["files"] == {
        "onnx": "onnx/model.onnx",
        "openvino-int8": "openvino/openvino_model_qint8_quantized.xml",
    }
    bundle = bundle_behind(context, result.facts)
    said = json.loads((bundle / "distill.json").read_text())
    assert said["default"] == "openvino-int8"
    assert list(said["formats"]) == ["transformers", "onnx", "openvino", "openvino-int8"]
    assert said["formats"]["onnx"]["opset"] == 20
    assert said["formats"]["openvino"]["weights"]["file"] == "openvino/openvino_model.bin"
    assert len(said["lengths"]) == 21
    texts = ["the best film", "bad", "a long and sad story about a film that was never good"]
    expected = load(bundle, format="onnx", threads=1).logits(texts)
    np.testing.assert_allclose(
        load(bundle, format="openvino", threads=1).logits(texts), expected, atol=1e-4
    )
    int8 = load(bundle, verify=True)
    assert int8.format == "openvino-int8"
    np.testing.assert_allclose(int8.logits(texts), expected, atol=0.5)
    np.testing.assert_allclose(int8.logits(texts, instances=2), int8.logits(texts), atol=0.1)


@pytest.mark.slow
def test_training_for_int8_goes_on_after_a_kill_and_ends_the_same(prepared, monkeypatch):
    from distill.stages import quantize as stage
    from distill.training.checkpoint import AtomicCheckpoint

    train = {"epochs": 2, "batch_size": 16}
    context = prepared(method="qat", max_drop=1.0, train=train, trainer={"checkpoint_steps": 3})
    whole = run(context)
    assert whole.facts["kept"] == "trained (qat), per channel"
    content = (context.folder / "onnx/model_quantized.onnx").read_bytes()
    shutil.rmtree(context.folder / "checkpoint")
    kept, real = AtomicCheckpoint.save_checkpoint, stage.output_loss

    def save_and_die(self, content, path):
        kept(self, content, path)
        if content["done"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpoint, "save_checkpoint", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            run(context)
    losses = []

    def counted(*of):
        loss = real(*of)
        return lambda *given: losses.append(1) or loss(*given)

    monkeypatch.setattr(stage, "output_loss", counted)
    assert run(context).facts["score"] == whole.facts["score"]
    assert (context.folder / "onnx/model_quantized.onnx").read_bytes() == content
    assert len(losses) == 2 * 4 - 3
