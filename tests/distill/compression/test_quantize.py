import logging

import numpy as np
import onnx
import pytest
import torch

from distill import processor
from distill.compression import quantize
from distill.compression.quantize import quantize_onnx
from distill.errors import ModelError
from distill.export.onnx import export_onnx
from distill.pruning.masks import Masks
from distill.pruning.surgery import slice_model
from distill.runtime.session import OnnxSession


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
    quantize_onnx(plain, target, per_channel=per_channel)
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


def test_padding_changes_nothing_much(model, plain, tmp_path):
    target = tmp_path / "model.int8.onnx"
    quantize_onnx(plain, target, per_channel=True)
    ids = np.random.default_rng(1).integers(5, 3000, (1, 7))
    session = OnnxSession(target, threads=1)
    alone = session.run(ids, np.ones_like(ids), np.zeros_like(ids))
    grown = [np.pad(array, ((0, 0), (0, 5))) for array in (ids, np.ones_like(ids), 0 * ids)]
    # Activations have one scale a batch, so padding may move it; the answer stays near.
    np.testing.assert_allclose(session.run(*grown), alone, atol=0.1)


def test_a_layer_with_nothing_left_is_quantised_too(model, tmp_path):
    masks = Masks(
        [torch.tensor([True, False, False, True]), torch.zeros(4, dtype=torch.bool)],
        [torch.zeros(128, dtype=torch.bool), torch.arange(128) < 64],
    )
    sliced = slice_model(model, masks)
    export_onnx(sliced, tmp_path / "model.onnx")
    quantize_onnx(tmp_path / "model.onnx", tmp_path / "int8.onnx", per_channel=True)
    np.testing.assert_allclose(
        run(tmp_path / "int8.onnx", sliced), run(tmp_path / "model.onnx", sliced), atol=0.1
    )


def test_the_same_source_gives_the_same_bytes(plain, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        quantize_onnx(plain, tmp_path / name, per_channel=True)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_the_root_logger_is_left_alone(plain, tmp_path, capfd):
    handlers = list(logging.getLogger().handlers)
    filters = list(logging.getLogger().filters)
    quantize_onnx(plain, tmp_path / "model.int8.onnx", per_channel=True)
    assert logging.getLogger().handlers == handlers
    assert logging.getLogger().filters == filters
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_what_cannot_be_quantised_is_told(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        quantize_onnx(tmp_path / "none.onnx", tmp_path / "out.onnx", per_channel=True)
    (tmp_path / "text.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not an ONNX model"):
        quantize_onnx(tmp_path / "text.onnx", tmp_path / "out.onnx", per_channel=True)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "flags: avx2 avx512f", True),
        ("x86_64", "flags: avx512f avx512_vnni", False),
        ("x86_64", "flags: avx2 avx_vnni", False),
        ("aarch64", "", False),
    ],
)
def test_seven_bits_where_the_processor_overflows(monkeypatch, machine, flags, expected):
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor.Path, "read_text", lambda *_, **__: flags)
    assert quantize.overflows() is expected


def test_seven_bits_are_smaller_numbers(plain, tmp_path):
    largest = {}
    for reduced in (False, True):
        target = tmp_path / f"{reduced}.onnx"
        quantize_onnx(plain, target, per_channel=True, reduce_range=reduced)
        weights = [
            onnx.numpy_helper.to_array(tensor)
            for tensor in onnx.load(str(target)).graph.initializer
            if tensor.data_type == onnx.TensorProto.INT8 and list(tensor.dims) == [64, 128]
        ]
        largest[reduced] = max(int(np.abs(weight.astype(int)).max()) for weight in weights)
    assert largest[True] <= 64 < largest[False]
