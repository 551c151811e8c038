"""Every head is read, saved, loaded, pruned and exported the same way."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from families import tiny_batch, tiny_model
from transformers import PreTrainedModel

from distill.evaluation.cost import macs
from distill.system.errors import ModelError
from students.heads import head_of, is_token_level, logits_of, outputs_of
from students.pooling import pool
from teachers.load import load_model, load_sentence_encoder, load_teacher

TASKS = ("classification", "tokens", "spans", "vectors")


def make(head: str) -> PreTrainedModel:
    return tiny_model("bert", head)


def batch() -> dict[str, torch.Tensor]:
    return tiny_batch(make("none"))


def test_shapes_of_the_logits() -> None:
    inputs = batch()
    shapes = {head: tuple(logits_of(make(head), inputs).shape) for head in TASKS}
    assert shapes == {
        "classification": (3, 3), "tokens": (3, 7, 3), "spans": (3, 7, 2), "vectors": (3, 16)
    }  # fmt: skip
    assert [outputs_of(make(head)) for head in TASKS] == [3, 3, 2, 16]
    assert [is_token_level(make(head)) for head in TASKS] == [False, True, True, False]


def test_spans_are_start_and_end() -> None:
    model, inputs = make("spans"), batch()
    output = model(**inputs)
    found = logits_of(model, inputs)
    assert torch.equal(found[..., 0], output.start_logits)
    assert torch.equal(found[..., 1], output.end_logits)


def test_pooling_leaves_padding_out() -> None:
    hidden = torch.randn(2, 3, 4)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert torch.allclose(pool(hidden, mask, "mean")[0], hidden[0, :2].mean(0))
    assert torch.allclose(pool(hidden, mask, "mean")[1], hidden[1].mean(0))
    assert torch.equal(pool(hidden, mask, "cls"), hidden[:, 0])


def test_an_encoder_without_pooling_has_no_logits() -> None:
    with pytest.raises(ModelError, match="which has no head"):
        logits_of(make("none"), batch())


@pytest.mark.parametrize(("head", "count"), [("tokens", 3), ("spans", 2)])
def test_a_new_head_is_drawn_on_an_encoder(head: str, count: int, tmp_path: Path) -> None:
    make("none").save_pretrained(tmp_path)
    labels = ["O", "B-x", "I-x"][:count]
    model = load_teacher(tmp_path, labels=labels, finetuned=False, head=head, problem_type=None)
    assert head_of(model) == head
    assert list(model.config.id2label.values()) == labels
    with pytest.raises(ModelError, match=r"no trained .* head"):
        load_teacher(tmp_path, labels=labels, finetuned=True, head=head, problem_type=None)


def test_a_sentence_encoder_is_known_as_one_again(tmp_path: Path) -> None:
    make("none").save_pretrained(tmp_path / "plain")
    model = load_sentence_encoder(tmp_path / "plain", pooling="cls")
    model.save_pretrained(tmp_path / "vectors")
    again = load_model(tmp_path / "vectors")
    assert head_of(again) == "vectors"
    assert torch.equal(logits_of(again, batch()), logits_of(model, batch()))


def test_a_head_that_looks_at_every_token_costs_more_with_length() -> None:
    plain, tagger = make("none"), make("tokens")
    pooled = 16 * 16  # what the encoder's pooler takes, which a tagger has not
    for length in (5, 9):
        assert macs(tagger, length) - (macs(plain, length) - pooled) == length * 16 * 3
