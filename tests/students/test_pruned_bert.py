import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from students.pruned_bert import (
    AUTO_MAP,
    PrunedBertConfig,
    PrunedBertForSequenceClassification,
    PrunedBertModel,
)

SIZES = {"heads_per_layer": [4, 0, 1], "ffn_per_layer": [64, 3, 0]}


def make(**changes) -> PrunedBertForSequenceClassification:
    torch.manual_seed(0)
    config = PrunedBertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        **{"num_labels": 3, **SIZES, **changes},
    )
    return PrunedBertForSequenceClassification(config).eval()


def batch() -> dict[str, torch.Tensor]:
    mask = torch.ones(2, 7, dtype=torch.int64)
    mask[1, 4:] = 0
    return {"input_ids": torch.arange(14).reshape(2, 7) + 5, "attention_mask": mask}


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


def test_without_lists_nothing_is_removed():
    config = PrunedBertConfig(num_hidden_layers=2, num_attention_heads=6, hidden_size=48)
    assert config.heads_per_layer == [6, 6]
    assert config.ffn_per_layer == [3072, 3072]
    assert config.head_dim == 8


def test_sdpa_and_eager_agree_and_both_give_every_signal():
    model = make()
    with torch.no_grad():
        sdpa = model(**batch(), output_hidden_states=True)
        model.set_attn_implementation("eager")
        eager = model(**batch(), output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(sdpa.logits, eager.logits, atol=1e-6, rtol=0)
    assert len(sdpa.hidden_states) == 4
    assert [tuple(item.shape) for item in eager.attentions] == [
        (2, 4, 7, 7),
        (2, 0, 7, 7),
        (2, 1, 7, 7),
    ]


def test_empty_layers_still_add_their_output_biases():
    model = make()
    block = model.bert.encoder.layer[1].attention
    block.output.dense.bias.data.fill_(0.5)
    hidden = torch.randn(2, 7, 32)
    out, _ = block(hidden)
    torch.testing.assert_close(out, block.output.LayerNorm(hidden + 0.5))


def test_it_trains():
    model = make().train()
    model(**batch(), labels=torch.tensor([0, 2])).loss.backward()
    kept = model.bert.encoder.layer[2].attention.self.query.weight
    assert kept.grad is not None
    assert kept.grad.abs().sum() > 0


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


ALONE = """
import json, sys
sys.modules["students"] = sys.modules["distill"] = None
import torch
import transformers
found = {}
for name in sys.argv[2:]:
    kind = getattr(transformers, name)
    model = kind.from_pretrained(sys.argv[1] + "/" + name, trust_remote_code=True)
    assert type(model).__module__.startswith("transformers_modules"), type(model)
    outputs = model.eval()(torch.arange(14).reshape(2, 7) + 5).to_tuple()
    found[name] = torch.cat([one.flatten() for one in outputs]).tolist()
print(json.dumps(found))
"""


def test_the_file_works_alone_by_trust_remote_code(tmp_path):
    source = Path(sys.modules[PrunedBertConfig.__module__].__file__)
    expected = {}
    for name, path in AUTO_MAP.items():
        if name == "AutoConfig":
            continue
        torch.manual_seed(0)
        model = getattr(sys.modules[PrunedBertConfig.__module__], path.partition(".")[2])(
            make(num_labels=2).config
        ).eval()
        model.config.auto_map = AUTO_MAP
        model.save_pretrained(tmp_path / name)
        (tmp_path / name / "pruned_bert.py").write_text(source.read_text())
        outputs = model(torch.arange(14).reshape(2, 7) + 5).to_tuple()
        expected[name] = torch.cat([one.flatten() for one in outputs])
    assert len(expected) == 4
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(tmp_path), *expected],
        cwd=tmp_path,
        env={"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name, outputs in expected.items():
        torch.testing.assert_close(torch.tensor(found[name]), outputs, atol=1e-6, rtol=0)
