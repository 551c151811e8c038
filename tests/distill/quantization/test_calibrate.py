import logging

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from distill.export.onnx import export_onnx
from distill.quantization.calibrate import calibrated
from distill.quantization.graph import Int8, load_graph, plain_products, products
from distill.quantization.int8_fallback import by_sensitivity
from distill.quantization.onnx_int8 import quantize_embeddings, quantize_qdq, quantize_weights
from distill.runtime.session import OnnxSession
from distill.system.errors import DataError, ModelError

LAYERS = [
    "bert.encoder.layer.0.attention.self.query",
    "bert.encoder.layer.0.attention.self.key",
    "bert.encoder.layer.0.attention.self.value",
    "bert.encoder.layer.0.attention.output.dense",
    "bert.encoder.layer.0.intermediate.dense",
    "bert.encoder.layer.0.output.dense",
    "bert.pooler.dense",
    "classifier",
]


@pytest.fixture(scope="module")
def model(classifier):
    return classifier(vocab=500, hidden=32, layers=1, ffn=64)


@pytest.fixture(scope="module")
def rows():
    draw = np.random.default_rng(0)
    made = [draw.integers(5, 500, (1, int(n)), dtype=np.int64) for n in draw.integers(3, 30, 24)]
    return [(ids, np.ones_like(ids), np.zeros_like(ids)) for ids in made]


@pytest.fixture(scope="module")
def scales(plain, rows):
    return calibrated(plain, rows, calibration="minmax")


def logits(path, rows):
    session = OnnxSession(path, threads=1)
    return np.concatenate([session.run(*row) for row in rows])


def test_products_bear_the_names_of_the_layers(plain):
    graph = load_graph(plain)
    plain_products(graph)
    assert sorted(product.name for product in products(graph)) == sorted(LAYERS)


@pytest.mark.parametrize(
    ("calibration", "per_channel"), [("minmax", True), ("percentile", False), ("entropy", True)]
)
def test_static_int8_is_near_torch(model, plain, rows, tmp_path, calibration, per_channel):
    scales = calibrated(plain, rows, calibration=calibration)
    assert set(scales) == set(LAYERS)
    target = tmp_path / "int8.onnx"
    quantize_qdq(plain, target, Int8(scales=scales, per_channel=per_channel))
    with torch.inference_mode():
        expected = np.concatenate(
            [model(*(torch.from_numpy(part) for part in row)).logits.numpy() for row in rows]
        )
    error = np.abs(logits(target, rows) - expected).mean()
    assert 0 < error < 0.1 * expected.std()


def test_everything_large_is_int8_and_the_fixed_scales_stand_in_the_graph(plain, scales, tmp_path):
    quantize_qdq(plain, tmp_path / "a.onnx", Int8(scales=scales))
    quantize_qdq(plain, tmp_path / "b.onnx", Int8(scales=scales))
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    graph = onnx.load(str(tmp_path / "a.onnx")).graph
    values = {tensor.name: tensor for tensor in graph.initializer}
    assert all(
        tensor.data_type == onnx.TensorProto.INT8
        for tensor in graph.initializer
        if np.prod(tensor.dims) >= 1000
    )
    quantised = [node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"]
    # Key and value read one tensor, which is quantised once; the query reads [CLS] alone, since
    # this one layer is the last.
    assert len(quantised) == len(LAYERS) - 1
    for name in LAYERS:
        if f"{name}.input_scale" in values:
            found = numpy_helper.to_array(values[f"{name}.input_scale"])
            assert float(found) == pytest.approx(scales[name].scale)
            zero = numpy_helper.to_array(values[f"{name}.input_zero"])
            assert int(zero) == scales[name].zero_point
    weight = numpy_helper.to_array(values["bert.pooler.dense.weight_scale"])
    assert weight.shape == (32,)


def test_the_runtime_computes_the_products_in_int8(plain, scales, tmp_path):
    import onnxruntime as ort

    quantize_qdq(plain, tmp_path / "int8.onnx", Int8(scales=scales))
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    ort.InferenceSession(str(tmp_path / "int8.onnx"), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "optimized.onnx")).graph.node]
    assert kinds.count("MatMulIntegerToFloat") == len(LAYERS)


def test_excluded_layers_stay_in_fp32(plain, scales, tmp_path):
    quantize_qdq(plain, tmp_path / "int8.onnx", Int8(scales=scales, exclude=["classifier"]))
    assert [p.name for p in products(load_graph(tmp_path / "int8.onnx"))] == ["classifier"]
    partial = {name: scale for name, scale in scales.items() if name != "classifier"}
    with pytest.raises(ModelError, match="no scales for classifier"):
        quantize_qdq(plain, tmp_path / "x.onnx", Int8(scales=partial))


def test_without_rows_there_is_nothing_to_calibrate_with(plain):
    with pytest.raises(DataError, match="no examples to calibrate"):
        calibrated(plain, [], calibration="minmax")


def test_small_weights_compute_in_fp32(plain, rows, tmp_path):
    exact = logits(plain, rows)
    handlers = list(logging.getLogger().handlers)
    sizes = {"fp32": plain.stat().st_size}
    for bits, tolerance in ((8, 0.05), (4, 0.6)):
        target = tmp_path / f"{bits}.onnx"
        quantize_weights(plain, target, bits=bits)
        sizes[str(bits)] = target.stat().st_size
        assert 0 < np.abs(logits(target, rows) - exact).mean() < tolerance * exact.std()
    quantize_embeddings(plain, tmp_path / "tables.onnx")
    sizes["tables"] = (tmp_path / "tables.onnx").stat().st_size
    assert np.abs(logits(tmp_path / "tables.onnx", rows) - exact).mean() < 0.03 * exact.std()
    assert logging.getLogger().handlers == handlers
    assert sizes["4"] < sizes["8"] < sizes["tables"] < sizes["fp32"]


def test_the_layer_that_int8_ruins_is_found(model, rows, tmp_path):
    import copy

    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.bert.encoder.layer[0].intermediate.dense.weight[5] = 0.0
        broken.bert.encoder.layer[0].intermediate.dense.bias[5] = 0.0
        broken.bert.encoder.layer[0].output.dense.weight[:, 5] = 1e4  # times gelu(0) = 0
    export_onnx(broken, tmp_path / "broken.onnx")
    ordered = by_sensitivity(tmp_path / "broken.onnx", rows[:6], Int8())
    assert sorted(name for name, _ in ordered) == sorted(LAYERS)
    assert ordered[0][0] == "bert.encoder.layer.0.output.dense"
    assert ordered[0][1] > 10 * ordered[1][1]
