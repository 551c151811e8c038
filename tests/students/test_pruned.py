import pytest
import torch
from families import tiny_model
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedModel

from students.pruned import PrunedBertForSequenceClassification, PrunedBertModel

SIZES = {"heads_per_layer": [4, 0, 1], "ffn_per_layer": [64, 3, 0]}


def make(**changes) -> PreTrainedModel:
    sizes = {"hidden_size": 32, "intermediate_size": 64, **SIZES}
    return tiny_model("pruned_bert", layers=3, **sizes | changes)


def test_the_layers_have_the_sizes_of_the_config():
    layers = make().bert.encoder.layer
    assert [layer.attention.self.num_attention_heads for layer in layers] == [4, 0, 1]
    assert [tuple(layer.attention.self.query.weight.shape) for layer in layers] == [
        (32, 32),
        (0, 32),
        (8, 32),
    ]
    assert [tuple(layer.output.dense.weight.shape) for layer in layers] == [
        (32, 64),
        (32, 3),
        (32, 0),
    ]
    assert [layer.attention.self.layer_idx for layer in layers] == [0, 1, 2]


@pytest.mark.parametrize("name", ["heads_per_layer", "ffn_per_layer"])
def test_a_list_of_the_wrong_length_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name} needs one size .* 3 layers, not \[1, 2\]"):
        make(**{name: [1, 2]})


def test_empty_layers_still_add_their_output_biases():
    model = make()
    block = model.bert.encoder.layer[1].attention
    block.output.dense.bias.data.fill_(0.5)
    hidden = torch.randn(2, 7, 32)
    out, _ = block(hidden)
    torch.testing.assert_close(out, block.output.LayerNorm(hidden + 0.5))


def test_registered_folders_load_to_equal_weights(tmp_path):
    model = make()
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert type(loaded) is PrunedBertForSequenceClassification
    assert loaded.config.heads_per_layer == [4, 0, 1]
    for (name, here), there in zip(
        model.state_dict().items(), loaded.state_dict().values(), strict=True
    ):
        assert torch.equal(here, there), name
    assert type(AutoModel.from_pretrained(tmp_path)) is PrunedBertModel
