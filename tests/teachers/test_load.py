"""Teachers: found, checked and loaded, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    XLMConfig,
    XLMForSequenceClassification,
)

from distill.system.errors import ModelError
from teachers.load import load_model, load_teacher, load_tokenizer
from teachers.resolve import resolve_model

IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 8, 3, 0, 0]])
MASK = (IDS != 0).long()


def logits_of(model) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS, attention_mask=MASK).logits


def rename_labels(folder: Path, names: list[str]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["id2label"] = {str(number): name for number, name in enumerate(names)}
    config["label2id"] = {name: number for number, name in enumerate(names)}
    path.write_text(json.dumps(config))


# --- where a model is -----------------------------------------------------------------------


def test_packaged_model_is_a_pretrained_bert() -> None:
    model = load_teacher("minilm-l6", labels=["a", "b", "c"], finetuned=False)
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (6, 384)
    assert model.config.num_attention_heads == 12
    assert len(load_tokenizer("minilm-l6")) == model.config.vocab_size == 30522
    raw = load_file(resolve_model("minilm-l6") / "model.safetensors")
    words = model.bert.embeddings.word_embeddings.weight
    assert torch.equal(words, raw["embeddings.word_embeddings.weight"].float())


def test_a_hub_name_without_network_is_one_line() -> None:
    with pytest.raises(
        ModelError, match=r"no-one/no-model cannot be loaded: .*check the name"
    ) as e:
        load_teacher("no-one/no-model", labels=["a", "b"], finetuned=False)
    assert "\n" not in str(e.value)


def test_truncated_weights_are_one_line(tiny_bert) -> None:
    folder = tiny_bert()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="cannot be loaded: ") as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_other_families_are_loaded_and_their_labels_put_in_order(tmp_path) -> None:
    config = XLMConfig(vocab_size=50, emb_dim=32, n_layers=1, n_heads=4, id2label={0: "b", 1: "a"})
    model = XLMForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    loaded = load_teacher(tmp_path, labels=["a", "b"], finetuned=True)
    assert torch.allclose(logits_of(loaded), logits_of(model).flip(-1), atol=1e-6)
    new = load_teacher(tmp_path, labels=["x", "y", "z"], finetuned=False)
    assert logits_of(new).shape == (2, 3)


# --- tokenizers -----------------------------------------------------------------------------


def test_folder_without_tokenizer_is_refused(tiny_bert) -> None:
    folder = tiny_bert()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        load_tokenizer(folder)


def test_tokenizer_with_more_tokens_than_the_model_is_refused(tiny_bert) -> None:
    folder = tiny_bert()
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 10}))
    with pytest.raises(ModelError, match="tokens and the model only 10"):
        load_tokenizer(folder)


# --- a new head -----------------------------------------------------------------------------


def test_new_head_has_the_tasks_labels_and_follows_the_seed(tiny_bert, capfd) -> None:
    folder = tiny_bert(labels=("x", "y"))
    capfd.readouterr()  # saving is not ours to quieten
    heads = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        model = load_teacher(folder, labels=["a", "b", "c"], finetuned=False)
        heads.append(model.classifier.weight.detach().clone())
    assert heads[0].shape == (3, 32)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert model.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert model.config.problem_type == "single_label_classification"
    assert torch.count_nonzero(model.classifier.bias) == 0
    raw = load_file(folder / "model.safetensors")
    query = "bert.encoder.layer.1.attention.self.query.weight"
    assert torch.equal(model.state_dict()[query], raw[query])
    assert capfd.readouterr() == ("", "")


def test_weights_of_another_shape_are_refused(tiny_bert) -> None:
    folder = tiny_bert()
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "intermediate_size": 60}))
    for finetuned in (True, False):
        with pytest.raises(ModelError, match=r"intermediate.* of another shape than its config"):
            load_teacher(folder, labels=["negative", "positive"], finetuned=finetuned)


def test_half_precision_checkpoints_are_loaded_as_fp32(tiny_bert) -> None:
    folder = tiny_bert()
    BertForSequenceClassification.from_pretrained(folder).half().save_pretrained(folder)
    assert load_model(folder).dtype == torch.float32


# --- its own head ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "wanted", "order"),
    [
        (
            ("contradiction", "entailment", "neutral"),
            ["entailment", "neutral", "contradiction"],
            [1, 2, 0],
        ),
        (("POSITIVE", "NEGATIVE"), ["negative", "positive"], [1, 0]),  # case does not matter
    ],
)
def test_labels_in_another_order_permute_the_logits(tiny_bert, caplog, own, wanted, order) -> None:
    folder = tiny_bert(labels=own)
    plain = BertForSequenceClassification.from_pretrained(folder).eval()
    with caplog.at_level("INFO", logger="distill"):
        model = load_teacher(folder, labels=wanted, finetuned=True)
    assert torch.equal(logits_of(model), logits_of(plain)[:, order])
    assert model.config.id2label == dict(enumerate(wanted))
    assert model.config.label2id == {name: number for number, name in enumerate(wanted)}
    assert f"put into the data's order [{', '.join(wanted)}]" in caplog.text


@pytest.mark.parametrize("own", [["x", "z"], ["x", "y", "z"]])
def test_other_labels_are_refused_with_both_lists(tiny_bert, own) -> None:
    folder = tiny_bert(labels=own)
    with pytest.raises(ModelError, match=r"labels are \[x, .*\] and the data's are \[x, y\]"):
        load_teacher(folder, labels=["x", "y"], finetuned=True)


def test_unnamed_outputs_need_given_names(tiny_bert) -> None:
    folder = tiny_bert()
    rename_labels(folder, ["LABEL_0", "LABEL_1"])
    plain = BertForSequenceClassification.from_pretrained(folder).eval()
    with pytest.raises(ModelError, match=r"no names \(\[LABEL_0, LABEL_1\]\).* teacher\.labels"):
        load_teacher(folder, labels=["no", "yes"], finetuned=True)
    model = load_teacher(folder, labels=["no", "yes"], finetuned=True, given_labels=["yes", "no"])
    assert torch.equal(logits_of(model), logits_of(plain)[:, [1, 0]])
    with pytest.raises(ModelError, match=r"teacher\.labels names 3 outputs .* has 2"):
        load_teacher(folder, labels=["no", "yes"], finetuned=True, given_labels=["a", "b", "c"])


def test_a_model_without_a_head_is_refused_as_fine_tuned(tmp_path) -> None:
    config = BertConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no trained classification head; add teacher\.finetune"):
        load_teacher(tmp_path, labels=["a", "b"], finetuned=True)
    assert load_teacher(tmp_path, labels=["a", "b"], finetuned=False).config.num_labels == 2


# --- capital letters ------------------------------------------------------------------------

CASED = ("Berlin", "The", "Anna", "Oslo")


def only_vocabulary(folder, **config):
    """Leave the vocabulary as older models publish it, and what is said of case."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    words = sorted(tokenizer["model"]["vocab"].items(), key=lambda pair: pair[1])
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def test_a_cased_vocabulary_that_is_lower_cased_is_told_with_the_setting(tiny_bert, caplog):
    folder = only_vocabulary(tiny_bert(words=CASED))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("Berlin")[:2] == ["be", "##r"]
    [record] = caplog.records
    told = record.getMessage()
    assert record.levelname == "WARNING"
    assert "its vocabulary is cased (4 of " in told
    assert "'Berlin' becomes be ##r" in told
    assert f'write "do_lower_case": false into {folder}/tokenizer_config.json' in told
    # What it says to do mends it.
    caplog.clear()
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert load_tokenizer(folder).tokenize("Berlin") == ["Berlin"]
    assert not caplog.records


def test_a_file_of_the_tokenizer_that_transformers_overrules_is_told_too(tiny_bert, caplog):
    folder = tiny_bert(words=CASED)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(content))
    (folder / "tokenizer_config.json").unlink()
    load_tokenizer(folder)
    assert "its vocabulary is cased" in caplog.text


def test_capital_letters_that_an_uncased_vocabulary_has_not_are_told(tiny_bert, caplog):
    folder = only_vocabulary(tiny_bert(), do_lower_case=False)
    assert load_tokenizer(folder).tokenize("Film") == ["[UNK]"]
    assert "has no capital letters and its tokenizer keeps them" in caplog.text
    assert 'write "do_lower_case": true into' in caplog.text
    caplog.clear()
    load_tokenizer(folder, written_here=True)
    assert not caplog.records
