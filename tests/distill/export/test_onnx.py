import logging
import sys

import numpy as np
import onnx
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertForMaskedLM

import distill.export.onnx as room
from distill.export.onnx import INPUTS, example_batch, export_onnx
from distill.pruning.masks import Masks
from distill.pruning.surgery import slice_model
from distill.runtime.session import OnnxSession
from distill.system.errors import ModelError


@pytest.fixture
def model(tiny_bert):
    torch.manual_seed(0)
    found = AutoModelForSequenceClassification.from_pretrained(tiny_bert())
    for name, weight in found.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.2)
    return found.eval()


def torch_logits(model, arrays) -> np.ndarray:
    feed = {name: torch.from_numpy(array) for name, array in zip(INPUTS, arrays, strict=True)}
    with torch.inference_mode():
        return model(**feed).logits.numpy()


def without(model, empty: int):
    """The model with a layer that has nothing in it, and little in the others."""
    layers = range(model.config.num_hidden_layers)
    parts = (model.config.num_attention_heads, 1), (model.config.intermediate_size, 9)
    masks = ([torch.arange(n) < (layer != empty) * k for layer in layers] for n, k in parts)
    return slice_model(model, Masks(*masks))


@pytest.mark.parametrize("empty", [None, 0, 1])
def test_logits_are_those_of_torch_at_any_shape(model, tmp_path, empty):
    model = model if empty is None else without(model, empty)
    export_onnx(model, tmp_path / "model.onnx")
    session = OnnxSession(tmp_path / "model.onnx", threads=1)
    for batch, length in [(1, 1), (1, 128), (5, 20)]:
        arrays = example_batch(model, batch=batch, length=length, padded=batch > 1)
        np.testing.assert_allclose(session.run(*arrays), torch_logits(model, arrays), atol=1e-5)


def test_the_file_is_plain_whole_and_repeatable(model, tmp_path):
    export_onnx(model, tmp_path / "model.onnx")
    export_onnx(model, tmp_path / "again.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.onnx", "model.onnx"]
    content = (tmp_path / "model.onnx").read_bytes()
    assert content == (tmp_path / "again.onnx").read_bytes()
    assert b"/transformers/" not in content  # no source lines, no paths of this machine
    proto = onnx.load_from_string(content)
    shapes = {
        entry.name: [dim.dim_param or dim.dim_value for dim in entry.type.tensor_type.shape.dim]
        for entry in (*proto.graph.input, *proto.graph.output)
    }
    axes = shapes["input_ids"]
    assert all(isinstance(axis, str) for axis in axes)
    assert shapes == {**dict.fromkeys(INPUTS, axes), "logits": [axes[0], 2]}


def test_the_model_is_left_as_it_was(model, tmp_path, capfd, recwarn):
    model.train()
    level = logging.getLogger("torch.onnx").level
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    export_onnx(model, tmp_path / "model.onnx")
    assert model.training
    assert model.config._attn_implementation == "sdpa"
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]), name
    assert logging.getLogger("torch.onnx").level == level
    assert list(recwarn) == []
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_a_wrong_graph_is_refused_and_not_written(model, tmp_path, monkeypatch):
    class Wrong(room._FirstTokenLogits):
        def forward(self, *tensors):
            return super().forward(*tensors) + 1e-2

    monkeypatch.setattr(room, "_wrapper_of", lambda model: Wrong)
    with pytest.raises(ModelError, match=r"differ from torch by 1\.0e-02"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_models_of_other_tasks_are_exported_as_they_are(tiny_bert, tmp_path):
    torch.manual_seed(0)
    config = AutoModelForSequenceClassification.from_pretrained(tiny_bert()).config
    model = BertForMaskedLM(config).eval()
    export_onnx(model, tmp_path / "model.onnx")
    arrays = example_batch(model, batch=2, length=9, padded=True)
    found = OnnxSession(tmp_path / "model.onnx", threads=1).run(*arrays)
    assert found.shape == (2, 9, config.vocab_size)
    np.testing.assert_allclose(found[0], torch_logits(model, arrays)[0], atol=1e-5)


def test_sessions_tell_what_is_wrong(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"model\.onnx: no such file"):
        OnnxSession(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="ONNX Runtime cannot load it"):
        OnnxSession(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Exception, match="pip install onnxruntime"):
        OnnxSession(tmp_path / "model.onnx")
