import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

from distill.compression.qat import train_int8
from distill.compression.static import quantize_static
from distill.errors import DataError
from distill.export.onnx import INPUTS, export_onnx
from distill.recipe.schema import TrainConfig
from distill.runtime.session import OnnxSession

CONFIG = TrainConfig(epochs=3, lr=3e-4, dropout=0.0)


def bert(seed):
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.1,
        num_labels=3,
    )
    return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def data():
    draw = torch.Generator().manual_seed(0)
    made = []
    for _ in range(10):
        ids = torch.randint(5, 300, (8, 12), generator=draw)
        made.append(
            {
                "input_ids": ids,
                "attention_mask": torch.ones_like(ids),
                "token_type_ids": torch.zeros_like(ids),
            }
        )
    teacher = bert(0)
    with torch.inference_mode():
        for batch in made:
            batch["goal"] = teacher(**batch).logits.clone()
    return made


def loss_of(model, batch):
    inputs = {name: batch[name] for name in INPUTS}
    return F.mse_loss(model(**inputs).logits, batch["goal"].clone())


def train(data, **settings):
    given = {"batches": lambda: data, "steps": len(data), "config": CONFIG, **settings}
    return train_int8(bert(0), loss_of=loss_of, **given)


def int8(result, folder, per_channel):
    export_onnx(result.model, folder / "plain.onnx")
    target = folder / "int8.onnx"
    quantize_static(folder / "plain.onnx", target, scales=result.scales, per_channel=per_channel)
    return target


@pytest.mark.parametrize("algorithm", ["qat", "lsq"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_graph_has_the_scales_of_the_training(data, tmp_path, algorithm, per_channel):
    result = train(data, algorithm=algorithm, per_channel=per_channel)
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


def test_training_brings_int8_nearer_to_the_goal(data, tmp_path):
    def error(result):
        session = OnnxSession(int8(result, tmp_path, False), threads=1)
        found = [session.run(*(batch[name].numpy() for name in INPUTS)) for batch in data]
        goal = [batch["goal"].numpy() for batch in data]
        return float(np.mean([np.abs(a - b).mean() for a, b in zip(found, goal, strict=True)]))

    # One large weight, on an input that is 0, takes the whole grid of the layer for itself.
    coarse = bert(0)
    with torch.no_grad():
        inner = coarse.bert.encoder.layer[0].intermediate.dense
        inner.weight[5] = inner.bias[5] = 0.0
        coarse.bert.encoder.layer[0].output.dense.weight[0, 5] = 20.0
    given = {"loss_of": loss_of, "batches": lambda: data, "steps": len(data), "per_channel": False}
    # With a rate of nearly 0 the scales are found and the weights stay as they were.
    rates = {lr: TrainConfig(epochs=3, lr=lr, dropout=0.0) for lr in (1e-9, 1e-3)}
    still, trained = (error(train_int8(coarse, config=c, **given)) for c in rates.values())
    assert trained < 0.7 * still


def test_the_same_training_gives_the_same_weights_and_leaves_the_model(data):
    first, second = train(data), train(data)
    untouched = bert(0).state_dict()
    for name, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name])
    assert set(first.model.state_dict()) == set(untouched)
    assert type(first.model.classifier) is torch.nn.Linear
    assert not first.model.training


def test_excluded_layers_have_no_scales(data):
    assert "classifier" not in train(data, exclude=["classifier"]).scales
    with pytest.raises(DataError, match="no batches"):
        train(data, steps=0)
