import numpy as np
import onnx
import pytest
import torch

from distill.export.onnx import export_onnx
from distill.pruning.masks import Masks
from distill.pruning.surgery import slice_model
from distill.quantization.graph import Int8, load_graph
from distill.quantization.integer import fix_order
from distill.quantization.onnx_int8 import quantize_onnx
from distill.runtime.session import OnnxSession
from distill.system.errors import ModelError


@pytest.fixture(scope="module")
def model(classifier):
    return classifier(vocab=3000, hidden=64, layers=2, ffn=128)


def run(path, model):
    random = np.random.default_rng(0)
    ids = random.integers(5, model.config.vocab_size, (4, 12))
    mask = np.ones_like(ids)
    mask[2, 5:] = 0
    return OnnxSession(path, threads=1).run(ids, mask, np.zeros_like(ids))


@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_and_embeddings_become_int8(model, plain, tmp_path, per_channel):
    target = tmp_path / "model.int8.onnx"
    quantize_onnx(plain, target, Int8(per_channel=per_channel))
    graph = onnx.load(str(target)).graph
    large = [tensor for tensor in graph.initializer if np.prod(tensor.dims) >= 64 * 64]
    tables = [tensor for tensor in large if list(tensor.dims) == [3000, 64]]
    assert len(tables) == 1
    kinds = {tensor.data_type for tensor in large}
    assert kinds <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    assert target.stat().st_size < plain.stat().st_size / 3
    np.testing.assert_allclose(run(target, model), run(plain, model), atol=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["model.int8.onnx"]
    assert [path.name for path in plain.parent.iterdir()] == ["model.onnx"]


def test_attention_of_the_first_token_sums_in_the_order_of_the_tokens(plain):
    graph = load_graph(plain)
    softmax = [node.output[0] for node in graph.graph.node if node.op_type == "Softmax"][-1]
    product = next(node for node in graph.graph.node if node.input[:1] == [softmax]).output[0]
    fix_order(graph)
    float_ = onnx.TensorProto.FLOAT
    graph.graph.output.append(onnx.helper.make_tensor_value_info(product, float_, None))
    del graph.graph.value_info[:]
    session = OnnxSession(graph.SerializeToString(), threads=1)
    draw = np.random.default_rng(0)
    for length in (2, 3, 5, 6, 7, 9, 13, 30, 61, 100):
        ids = draw.integers(5, 3000, (1, length))
        row = (ids, np.ones_like(ids), np.zeros_like(ids))
        [alone] = session.run_outputs([product], *row)  # (1, H, 1, d)
        for more in (1, 8, 150):
            grown = [np.pad(array, ((0, 0), (0, more))) for array in row]
            [found] = session.run_outputs([product], *grown)
            np.testing.assert_array_equal(found, alone)


def test_a_layer_with_nothing_left_is_quantised_too(model, tmp_path):
    masks = Masks(
        [torch.tensor([True, False, False, True]), torch.zeros(4, dtype=torch.bool)],
        [torch.zeros(128, dtype=torch.bool), torch.arange(128) < 64],
    )
    sliced = slice_model(model, masks)
    export_onnx(sliced, tmp_path / "model.onnx")
    quantize_onnx(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    np.testing.assert_allclose(
        run(tmp_path / "int8.onnx", sliced), run(tmp_path / "model.onnx", sliced), atol=0.1
    )


def test_what_cannot_be_quantised_is_told(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        quantize_onnx(tmp_path / "none.onnx", tmp_path / "out.onnx")
    (tmp_path / "text.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        quantize_onnx(tmp_path / "text.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_seven_bits_are_smaller_numbers(plain, tmp_path):
    largest = {}
    for bits in (7, 8):
        target = tmp_path / f"{bits}.onnx"
        quantize_onnx(plain, target, Int8(weight_bits=bits))
        weights = [
            onnx.numpy_helper.to_array(tensor)
            for tensor in onnx.load(str(target)).graph.initializer
            if tensor.data_type == onnx.TensorProto.INT8 and list(tensor.dims) == [64, 128]
        ]
        largest[bits] = max(int(np.abs(weight.astype(int)).max()) for weight in weights)
    assert largest[7] <= 63 < largest[8]
