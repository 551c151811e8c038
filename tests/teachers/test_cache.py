"""Cached logits are the teacher's, and are made anew when anything they depend on changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from families import tiny_model
from transformers import PreTrainedModel

import teachers.cache as cache_module
from distill.system.errors import ModelError
from students.heads import logits_of, outputs_of
from students.static import token_vectors
from teachers.cache import (
    RaggedLogits,
    cached_logits,
    cached_token_vectors,
    compute_logits,
    look_up,
    weights_digest,
)
from teachers.freeze import freeze
from teachers.load import load_model, load_tokenizer


class Rows:
    """Tokenised rows in memory."""

    def __init__(self, count: int = 23, seed: int = 0, digest: str = "rows") -> None:
        generator = np.random.default_rng(seed)
        self.lengths = generator.integers(2, 12, count).astype(np.int32)
        self.ids = [generator.integers(1, 40, length).astype(np.int32) for length in self.lengths]
        for ids in self.ids:
            ids.flags.writeable = False  # as memory-mapped rows are
        self.digest = digest
        self.pad_id = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int):
        ids = self.ids[index]
        return {"input_ids": ids, "token_type_ids": np.zeros_like(ids), "label": 0, "index": index}


def make_teacher(head: str = "classification") -> PreTrainedModel:
    return tiny_model("bert", head)


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """Grows by one entry each time logits are worked out."""
    calls: list[int] = []
    original = cache_module.compute_logits

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(cache_module, "compute_logits", counted)
    return calls


def test_each_row_has_the_logits_of_its_own_text() -> None:
    teacher, rows = make_teacher(), Rows(count=70)  # more than a batch
    logits = compute_logits(teacher, rows)
    assert logits.shape == (70, 3)
    assert logits.dtype == np.float32
    for index in range(len(rows)):
        ids = torch.from_numpy(rows.ids[index].astype(np.int64))[None]
        with torch.no_grad():
            alone = teacher(ids).logits[0].numpy()
        np.testing.assert_allclose(logits[index], alone, rtol=1e-5, atol=1e-6)


def test_cached_logits_equal_uncached_ones_bitwise(computed) -> None:
    teacher, rows = make_teacher(), Rows()
    uncached = compute_logits(teacher, rows)
    first = cached_logits(teacher, rows)
    second = cached_logits(teacher, rows)
    assert computed == [1]
    assert isinstance(second, np.memmap)
    assert np.array_equal(uncached, first)
    assert np.array_equal(first, second)


def test_dropout_is_off_and_the_mode_is_put_back() -> None:
    teacher, rows = make_teacher().train(), Rows()
    assert np.array_equal(compute_logits(teacher, rows), compute_logits(teacher, rows))
    assert teacher.training
    assert teacher.dropout.training
    frozen = freeze(make_teacher())
    compute_logits(frozen, rows)
    assert not frozen.dropout.training


def test_anything_they_depend_on_makes_them_anew(computed) -> None:
    teacher, rows = make_teacher(), Rows()
    first = cached_logits(teacher, rows)
    changed = copy.deepcopy(teacher)
    with torch.no_grad():
        changed.bert.encoder.layer[0].output.dense.bias[3] += 1.0
    other = cached_logits(changed, rows)
    assert len(computed) == 2
    assert not np.array_equal(first, other)
    # Text, tokenizer, length limit and labels all stand in the data's digest.
    cached_logits(teacher, Rows(digest="other tokenizer"))
    assert len(computed) == 3
    cached_logits(teacher, Rows(count=7))
    assert len(computed) == 4
    cached_logits(teacher, rows, precision="bf16")
    assert len(computed) == 5
    assert np.array_equal(first, cached_logits(teacher, rows))
    assert len(computed) == 5


def test_damaged_files_are_noticed_said_and_made_anew(cache, computed, caplog) -> None:
    teacher, rows = make_teacher(), Rows()
    first = np.array(cached_logits(teacher, rows))
    [array] = (cache / "logits").glob("*/logits")
    array.write_bytes(array.read_bytes()[:-20])
    with caplog.at_level("INFO", logger="distill"):
        again = cached_logits(teacher, rows)
    assert len(computed) == 2
    assert np.array_equal(first, again)
    assert "teacher: cached logits in " in caplog.text
    cached_logits(teacher, rows)
    assert len(computed) == 2


def test_digest_follows_weights_and_what_the_config_makes_of_them() -> None:
    teacher = make_teacher()
    digest = weights_digest(teacher)
    assert weights_digest(make_teacher()) == digest
    assert weights_digest(freeze(copy.deepcopy(teacher))) == digest
    teacher.config.hidden_act = "relu"
    assert weights_digest(teacher) != digest
    teacher.config.hidden_act = "gelu"
    assert weights_digest(teacher) == digest
    assert weights_digest(teacher.bfloat16()) != digest


def test_logits_that_are_no_numbers_are_refused(cache) -> None:
    teacher, rows = make_teacher(), Rows(count=5)
    with torch.no_grad():
        teacher.bert.embeddings.word_embeddings.weight[rows.ids[2][0]] = float("nan")
    first = next(i for i, ids in enumerate(rows.ids) if rows.ids[2][0] in ids)
    with pytest.raises(ModelError, match=f"logits of row {first} are not finite"):
        cached_logits(teacher, rows)
    assert not list((cache / "logits").iterdir())


def test_bf16_is_autocast_and_stored_as_fp32() -> None:
    teacher, rows = make_teacher(), Rows()
    exact = compute_logits(teacher, rows)
    rough = compute_logits(teacher, rows, precision="bf16")
    assert rough.dtype == np.float32
    assert not np.array_equal(exact, rough)
    np.testing.assert_allclose(exact, rough, atol=0.2)


def test_vectors_of_tokens_are_computed_once_for_an_encoder(tiny_bert, monkeypatch) -> None:
    folder = tiny_bert()
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    calls: list[int] = []

    def counted(*args):
        calls.append(1)
        return token_vectors(*args)

    monkeypatch.setattr(cache_module, "token_vectors", counted)
    found = cached_token_vectors(model, tokenizer)
    np.testing.assert_array_equal(found, token_vectors(model, tokenizer))
    model.classifier.weight.data.add_(1)  # no part of the encoder
    np.testing.assert_array_equal(cached_token_vectors(model, tokenizer), found)
    assert len(calls) == 1
    next(model.base_model.encoder.parameters()).data.mul_(2)
    assert (cached_token_vectors(model, tokenizer) != found).any()
    assert len(calls) == 2


@pytest.mark.parametrize("head", ["tokens", "spans"])
def test_a_taggers_logits_are_cached_token_by_token(head: str) -> None:
    model, rows = make_teacher(head), Rows(count=3)
    longest = int(rows.lengths.max())
    found = cached_logits(model, rows)
    assert isinstance(found, RaggedLogits)
    assert found.shape == (3, longest, outputs_of(model))
    for row in range(3):
        ids = torch.from_numpy(rows.ids[row].astype(np.int64))[None]
        with torch.no_grad():
            expected = logits_of(model, {"input_ids": ids})[0].numpy()
        np.testing.assert_allclose(found[np.array([row])][0], expected, atol=1e-5)
    looked = look_up(found, {"index": torch.tensor([2, 0]), "input_ids": torch.zeros(2, 15)})
    assert looked.shape == (2, 15, outputs_of(model))
    assert not looked[0, rows.lengths[2] :].any()
    again = cached_logits(model, rows)
    assert isinstance(again, RaggedLogits)
    assert np.array_equal(again.flat, found.flat)
    uncached = compute_logits(model, rows)
    assert isinstance(uncached, RaggedLogits)
    assert np.array_equal(uncached.flat, found.flat)
