import copy
import signal

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch.nn import functional as F

from distill.export.onnx import INPUTS, export_onnx
from distill.quantization.graph import Int8
from distill.quantization.int8_training import Lessons, train_int8
from distill.quantization.onnx_int8 import quantize_onnx
from distill.recipe.schema import TrainConfig
from distill.runtime.session import OnnxSession
from distill.system.errors import DataError, RunFolderError

CONFIG = TrainConfig(epochs=3, lr=3e-4, dropout=0.0)


@pytest.fixture(scope="module")
def model(classifier):
    return classifier(vocab=300, hidden=32, layers=1, ffn=64)


@pytest.fixture(scope="module")
def data(model):
    draw = torch.Generator().manual_seed(0)
    made = []
    for _ in range(10):
        ids = torch.randint(5, 300, (8, 12), generator=draw)
        given = (ids, torch.ones_like(ids), torch.zeros_like(ids))
        batch = dict(zip(INPUTS, given, strict=True))
        with torch.inference_mode():
            made.append(batch | {"goal": model(**batch).logits.clone()})
    return made


def loss_of(model, batch):
    inputs = {name: batch[name] for name in INPUTS}
    return F.mse_loss(model(**inputs).logits, batch["goal"].clone())


GRID = ("per_channel", "exclude")
RECIPE = ("config", "algorithm")


def train(model, data, **settings):
    grid = Int8(**{key: settings.pop(key) for key in GRID if key in settings})
    recipe = {"config": CONFIG} | {key: settings.pop(key) for key in RECIPE if key in settings}
    given = {"loss_of": loss_of, "batches": lambda _: data, "steps": len(data)}
    return train_int8(model, Lessons(**(given | settings)), int8=grid, **recipe)


def int8(result, folder, per_channel):
    export_onnx(result.model, folder / "plain.onnx")
    target = folder / "int8.onnx"
    quantize_onnx(
        folder / "plain.onnx", target, Int8(scales=result.scales, per_channel=per_channel)
    )
    return target


@pytest.mark.parametrize(("algorithm", "per_channel"), [("qat", True), ("lsq", False)])
def test_the_graph_has_the_scales_of_the_training(model, data, tmp_path, algorithm, per_channel):
    result = train(model, data, algorithm=algorithm, per_channel=per_channel)
    target = int8(result, tmp_path, per_channel)
    graph = onnx.load(str(target)).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    assert len(result.calibration) == 8
    for name, entry in result.calibration.items():
        weight = entry["weight"]["scale"].detach().reshape(-1).abs().numpy()
        np.testing.assert_allclose(values[f"{name}.weight_scale"].reshape(-1), weight, rtol=1e-6)
        # Symmetric scales lie on the unsigned grid with its zero in the middle.
        shift = 128 if algorithm == "lsq" else 0
        zero = round(float(entry["_input_0"]["zero_point"])) + shift
        assert result.scales[name].zero_point == zero
        scale = float(entry["_input_0"]["scale"].detach().abs())
        if f"{name}.input_scale" in values:  # else it shares that of another layer's input
            assert float(values[f"{name}.input_scale"]) == pytest.approx(scale, rel=1e-6)
            assert int(values[f"{name}.input_zero"]) == zero
    assert {
        len(entry["weight"]["scale"].reshape(-1)) > 1 for entry in result.calibration.values()
    } == {per_channel}


def test_training_brings_int8_nearer_to_the_goal(model, data, tmp_path):
    def error(result):
        session = OnnxSession(int8(result, tmp_path, False), threads=1)
        found = [session.run(*(batch[name].numpy() for name in INPUTS)) for batch in data]
        goal = [batch["goal"].numpy() for batch in data]
        return float(np.mean([np.abs(a - b).mean() for a, b in zip(found, goal, strict=True)]))

    # One large weight, on an input that is 0, takes the whole grid of the layer for itself.
    coarse = copy.deepcopy(model)
    with torch.no_grad():
        inner = coarse.bert.encoder.layer[0].intermediate.dense
        inner.weight[5] = inner.bias[5] = 0.0
        coarse.bert.encoder.layer[0].output.dense.weight[0, 5] = 20.0
    # With a rate of nearly 0 the scales are found and the weights stay as they were.
    rates = {lr: TrainConfig(epochs=3, lr=lr, dropout=0.0) for lr in (1e-9, 1e-3)}
    still, trained = (
        error(train(coarse, data, config=c, per_channel=False)) for c in rates.values()
    )
    assert trained < 0.7 * still


def same(first, second):
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    for name, scales in first.scales.items():
        assert (scales.scale, scales.zero_point) == (
            second.scales[name].scale,
            second.scales[name].zero_point,
        )
        np.testing.assert_array_equal(scales.weight, second.scales[name].weight)


@pytest.fixture
def python_s_own_handler():
    """Python's answer to Ctrl-C, which a process started in the background comes without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_s_own_handler")
def test_ctrl_c_leaves_a_checkpoint_of_the_step(model, data, tmp_path):
    kept = tmp_path / "last.ckpt"
    steps = iter(range(1, 100))

    def stopped(model, batch):
        if next(steps) == 7:
            signal.raise_signal(signal.SIGINT)
        return loss_of(model, batch)

    with pytest.raises(KeyboardInterrupt):
        train(model, data, loss_of=stopped, checkpoint=kept)
    assert torch.load(kept, weights_only=True)["done"] == 7
    same(train(model, data), train(model, data, checkpoint=kept))


def test_a_checkpoint_of_another_training_is_refused(model, data, tmp_path):
    kept = tmp_path / "last.ckpt"
    train(model, data, checkpoint=kept)
    with pytest.raises(RunFolderError, match="belongs to a training with other data"):
        train(model, data, checkpoint=kept, seed=1)
    kept.write_bytes(b"not a checkpoint")
    with pytest.raises(RunFolderError, match=r"last\.ckpt: not a checkpoint .* remove it"):
        train(model, data, checkpoint=kept)


def test_excluded_layers_have_no_scales(model, data):
    assert "classifier" not in train(model, data, exclude=["classifier"]).scales
    with pytest.raises(DataError, match="no batches"):
        train(model, data, steps=0)
