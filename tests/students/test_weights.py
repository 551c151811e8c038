"""Checkpoints that are not what their config says, and heads that it does not name."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

from distill.recipe.sizes import resolve_size
from distill.system.errors import ModelError
from students.build import load_encoder_into
from students.weights import find_head
from teachers.load import load_encoder, load_model, load_sentence_encoder, load_teacher

TAGS = ("O", "B-PER", "I-PER")


def set_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def start_from(folder: Path) -> None:
    student = BertForSequenceClassification.from_pretrained(folder)
    load_encoder_into(student, folder, resolve_size("2x32/2/64"))


LOADERS = [
    load_model,
    load_encoder,
    partial(load_sentence_encoder, pooling="mean"),
    partial(load_teacher, labels=["negative", "positive"], finetuned=True),
    partial(load_teacher, labels=["a", "b", "c"], finetuned=False),
    start_from,
]


@pytest.mark.parametrize("load", LOADERS)
def test_more_layers_than_the_config_says_are_refused(tiny_bert, load) -> None:
    folder = tiny_bert(layers=5)
    set_config(folder, num_hidden_layers=2)
    told = r"weights have 5 layers \(bert\.encoder\.layer\.2 to bert\.encoder\.layer\.4 would be"
    with pytest.raises(ModelError, match=told + r" dropped\) .* num_hidden_layers 2"):
        load(folder)


@pytest.mark.parametrize("load", LOADERS)
def test_fewer_layers_than_the_config_says_are_refused(tiny_bert, load) -> None:
    folder = tiny_bert(layers=2)
    change_weights(folder, lambda w: {k: v for k, v in w.items() if "layer.1." not in k})
    with pytest.raises(ModelError, match=r"layer\.1\.attention\S* are missing"):
        load(folder)


@pytest.mark.parametrize(
    ("load", "value"), [(LOADERS[0], math.nan), (LOADERS[2], math.inf), (LOADERS[4], math.nan)]
)
def test_weights_that_are_no_numbers_are_named(tiny_bert, load, value) -> None:
    folder = tiny_bert()

    def spoil(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        weights["bert.encoder.layer.1.output.dense.weight"][3, 4] = value
        return weights

    change_weights(folder, spoil)
    with pytest.raises(ModelError, match=r"layer\.1\.output\.dense\.weight hold NaN or infinity"):
        load(folder)


@pytest.mark.parametrize(("load", "extra"), [(LOADERS[0], "module."), (LOADERS[4], "model.")])
def test_names_with_something_before_them_are_told_with_what_renames_them(
    tiny_bert, load, extra
) -> None:
    folder = tiny_bert()
    change_weights(folder, lambda w: {f"{extra}{k}": v for k, v in w.items()})
    with pytest.raises(ModelError, match=rf"weights begin with '{extra}'") as caught:
        load(folder)
    words = shlex.split(str(caught.value).partition("rename them: ")[2])
    subprocess.run([sys.executable, *words[1:]], check=True)
    load(folder)


def test_a_prefix_that_stands_twice_is_taken_off_or_told(tiny_bert) -> None:
    folder = tiny_bert()
    before = load_model(folder).state_dict()
    change_weights(folder, lambda w: {f"bert.{k}": v for k, v in w.items()})
    with pytest.raises(ModelError, match=r"weights begin with 'bert\.'"):
        load_encoder(folder)
    after = load_model(folder).state_dict()  # transformers takes it off
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_weights_of_an_unknown_part_are_named(tiny_bert) -> None:
    folder = tiny_bert()
    change_weights(folder, lambda w: w | {"bert.encoder.layer.0.adapter.weight": torch.ones(2)})
    with pytest.raises(ModelError, match=r"layer\.0\.adapter\.weight' that its config\.json says"):
        load_encoder(folder)
    folder = tiny_bert(labels=TAGS)
    BertForTokenClassification.from_pretrained(folder).save_pretrained(folder)
    change_weights(folder, lambda w: w | {"crf.transitions": torch.ones(3, 3)})
    with pytest.raises(ModelError, match=r"'crf\.transitions' that a BertForTokenClassification"):
        load_model(folder)
    load_encoder(folder)  # which has no head of its own


def test_what_older_versions_saved_and_other_heads_are_no_issue(tiny_bert) -> None:
    folder = tiny_bert()
    before = load_model(folder).state_dict()
    more = {
        "bert.embeddings.position_ids": torch.arange(128)[None],
        "cls.predictions.bias": torch.ones(3),
        "cls.seq_relationship.bias": torch.ones(2),
    }
    change_weights(folder, lambda w: w | more)
    after = load_model(folder).state_dict()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


@pytest.mark.parametrize(
    ("made", "labels", "head"),
    [
        (BertForTokenClassification, TAGS, "tokens"),
        (BertForTokenClassification, ("x", "y"), "tokens"),
        (BertForTokenClassification, ("LABEL_0", "LABEL_1"), "tokens"),
        (BertForSequenceClassification, ("x", "y"), "classification"),
        (BertForQuestionAnswering, ("LABEL_0", "LABEL_1"), "spans"),
    ],
)
def test_the_head_is_told_by_weights_and_labels(tiny_bert, made, labels, head) -> None:
    folder = tiny_bert(labels=labels)
    made.from_pretrained(folder).save_pretrained(folder)
    set_config(folder, architectures=None)
    assert find_head(folder) == head
    assert type(load_model(folder)) is made


def test_an_old_tagger_with_a_pooler_is_told_by_its_labels(tiny_bert) -> None:
    folder = tiny_bert(labels=TAGS)
    set_config(folder, architectures=None)
    assert find_head(folder) == "tokens"


def test_a_head_that_nothing_tells_is_not_guessed(tiny_bert) -> None:
    folder = tiny_bert(labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    set_config(folder, architectures=None)
    with pytest.raises(ModelError, match=r"a classifier's or a tagger's; write \"architectures\""):
        load_model(folder)
    model = load_model(folder, head="classification")
    assert type(model) is BertForSequenceClassification
