"""Surgery on a model with any head equals the same model with parts masked out."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import tiny_pruning as tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from narrow import narrow_forward
from tiny_pruning import FFN, HEADS, HIDDEN, LAYERS
from transformers import PreTrainedModel

from distill.export.onnx import INPUTS, example_batch, export_onnx, export_program
from distill.pruning.layers import keep_layers, only_layers
from distill.pruning.mask_gradients import times_masks
from distill.pruning.masks import Masks, layer_sizes
from distill.pruning.subwords import trim_embeddings
from distill.pruning.surgery import slice_model
from distill.pruning.width import Width, slice_width
from distill.runtime.session import OnnxSession
from students.heads import class_of, head_of, logits_of
from students.pooling import POOLING
from teachers.load import load_model

TASKS = ("classification", "tokens", "spans", "vectors", "cls-vectors")


def make(task: str) -> PreTrainedModel:
    config = tiny.make_config(num_labels=2 if task == "spans" else 3)
    head = "vectors" if task.endswith("vectors") else task
    if head == "vectors":
        setattr(config, POOLING, "cls" if task.startswith("cls") else "mean")
    model = tiny.drawn(class_of(config, head), config, 2)
    model.config.architectures = [type(model).__name__]
    return model


def batch(model: PreTrainedModel, *, ids: int | None = None) -> dict[str, torch.Tensor]:
    arrays = example_batch(model, batch=3, length=9, padded=True)
    found = {name: torch.from_numpy(array) for name, array in zip(INPUTS, arrays, strict=True)}
    found["input_ids"] %= ids or model.config.vocab_size
    return found


def mask_of(size: int) -> Any:
    """A mask; often one that keeps nothing."""
    some = st.lists(st.booleans(), min_size=size, max_size=size)
    return st.one_of(some, st.just([False] * size)).map(lambda row: torch.tensor(row))


def masks_of(layers: int = LAYERS) -> Any:
    rows = [st.lists(mask_of(size), min_size=layers, max_size=layers) for size in (HEADS, FFN)]
    return st.tuples(*rows).map(lambda pair: Masks(*pair))


def width_of(model: PreTrainedModel, order: list[int], count: int) -> Width:
    kept = torch.zeros(HIDDEN, dtype=torch.bool)
    kept[order[:count]] = True
    pooled = torch.arange(HIDDEN) >= HIDDEN - count
    has_pooler = getattr(model.base_model, "pooler", None) is not None
    return Width(kept, pooled if has_pooler else None)


quick = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck]
)


@pytest.mark.parametrize("task", TASKS)
@quick
@given(
    masks=masks_of(),
    layers=st.sets(st.integers(1, LAYERS), min_size=1).map(sorted),
    order=st.permutations(range(HIDDEN)),
    count=st.integers(1, HIDDEN),
    first=st.sampled_from(["units", "layers", "width"]),
)
def test_all_surgery_together_is_what_masking_computes(
    task: str, masks: Masks, layers: list[int], order: list[int], count: int, first: str
) -> None:
    model = make(task)
    kept, inputs = width_of(model, order, count), batch(model)
    narrow, masked = narrow_forward(model, kept), times_masks(model, masks.heads, masks.ffn)
    with torch.no_grad(), masked, narrow, only_layers(model, [one - 1 for one in layers]):
        expected = logits_of(model, inputs)
    steps = {
        "units": lambda one: slice_model(one, masks_left(one, masks, layers)),
        "layers": lambda one: keep_layers(one, layers),
        "width": lambda one: slice_width(one, kept),
    }
    sliced = copy.deepcopy(model)
    for step in [first, *(name for name in steps if name != first)]:
        sliced = steps[step](sliced)
    assert head_of(sliced) == head_of(model)
    heads, ffn = layer_sizes(sliced)
    assert heads == [masks.heads_kept[layer - 1] for layer in layers]
    assert ffn == [masks.ffn_kept[layer - 1] for layer in layers]
    assert sliced.config.hidden_size == count
    if head_of(model) == "vectors":
        expected = expected[:, kept.hidden]
    with torch.no_grad():
        torch.testing.assert_close(logits_of(sliced, inputs), expected, atol=1e-5, rtol=1e-5)


def masks_left(model: PreTrainedModel, masks: Masks, layers: list[int]) -> Masks:
    """The masks of the layers that a model still has."""
    if len(layer_sizes(model)[0]) == LAYERS:
        return masks
    parts = ([part[layer - 1] for layer in layers] for part in (masks.heads, masks.ffn))
    return Masks(*parts)


def pruned(task: str) -> PreTrainedModel:
    """A model that something of everything was taken from; a layer has no head, one no neuron."""
    model = make(task)
    some = torch.tensor([True, False, True, False])
    masks = Masks(
        [some, torch.zeros(HEADS, dtype=torch.bool), some],
        [torch.arange(FFN) < 4, torch.arange(FFN) < 2, torch.zeros(FFN, dtype=torch.bool)],
    )
    left = slice_width(slice_model(model, masks), width_of(model, [*range(HIDDEN)], 8))
    return trim_embeddings(left, range(0, tiny.VOCAB, 2))


@pytest.mark.parametrize("task", TASKS)
def test_it_is_saved_and_loaded_as_it_is(task: str, tmp_path: Any) -> None:
    model = pruned(task)
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert type(again) is type(model)
    assert again.config.vocab_size == 30
    with torch.no_grad():
        assert torch.equal(logits_of(again, batch(model)), logits_of(model, batch(model)))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS[:3])
def test_it_is_exported_as_onnx_and_as_a_program(task: str, tmp_path: Any) -> None:
    model = pruned(task)
    inputs = batch(model)
    with torch.no_grad():
        expected = logits_of(model, inputs)
    real = inputs["attention_mask"].bool() if expected.dim() == 3 else ...
    export_onnx(model, tmp_path / "model.onnx")
    session = OnnxSession(tmp_path / "model.onnx", threads=1)
    found = torch.from_numpy(session.run(*(one.numpy() for one in inputs.values())))
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=1e-4)
    export_program(model, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    with torch.no_grad():
        torch.testing.assert_close(program(*inputs.values()), expected, atol=1e-5, rtol=1e-4)
