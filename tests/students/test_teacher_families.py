"""What every family teaches, and those that only teach: their students are BERTs."""

from __future__ import annotations

import copy

import pytest
import torch
from families import tiny_batch, tiny_model
from torch.testing import assert_close
from transformers import BertForSequenceClassification, PreTrainedModel

from distill.capture.capture import Capture
from distill.evaluation.cost import macs
from distill.pruning.masks import layer_sizes
from distill.recipe.model_shapes import STUDENTS, teacher_shape
from distill.recipe.model_shapes import TEACHERS as NAMES
from distill.recipe.shapes import Shape
from distill.recipe.sizes import Size
from distill.system.errors import ModelError
from students.anatomy import input_names
from students.build import build_student
from students.family import FAMILIES, TEACHERS
from students.from_teacher import kept_dimensions
from students.heads import logits_of, positions_of
from teachers.load import load_teacher

KINDS = [*TEACHERS, "deberta-v2, v3", "deberta-v2, conv"]
LAYERS = 4


def make(kind: str) -> PreTrainedModel:
    return tiny_model(kind, layers=LAYERS)


def used(kind: str, layer: int, mask: torch.Tensor) -> torch.Tensor:
    """Pairs of tokens (B, 1, L, L) that a layer looks at."""
    found = mask[:, None, None, :].bool().expand(-1, 1, 7, -1)
    if kind == "modernbert" and layer % 2 == 0:
        places = torch.arange(7)
        found = found & ((places[:, None] - places[None]).abs() <= 2)
    return found


@pytest.mark.parametrize("kind", [*FAMILIES, "electra, one width", *KINDS])
def test_captured_signals_are_the_models_own(kind) -> None:
    model = make(kind)
    inputs = tiny_batch(model)
    layers = range(1, LAYERS + 1)
    capture = Capture(model, attention=layers, hidden=layers, embedding=True, logits=True)
    found = capture(inputs)
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    with torch.no_grad():
        own = eager(
            **{name: inputs[name] for name in input_names(model)},
            output_hidden_states=True,
            output_attentions=True,
        )
    real = inputs["attention_mask"].bool()
    for layer, expected in enumerate(own.attentions, start=1):
        scores = found.attention[layer].masked_fill(
            ~used(kind, layer, inputs["attention_mask"]), -1e30
        )
        rows = real[:, None, :, None]  # what padding asks for differs
        assert_close(scores.softmax(-1) * rows, expected * rows, atol=1e-5, rtol=0)
    captured = [found.embedding, *(found.hidden[layer] for layer in layers)]
    for signal, expected in zip(captured, own.hidden_states, strict=True):
        assert_close(signal[real], expected[real], atol=1e-5, rtol=0)
    assert_close(found.logits, own.logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_some_layers_alone_give_the_same_and_the_rest_does_not_run(kind) -> None:
    model = make(kind)
    inputs = tiny_batch(model)
    every = Capture(model, attention=[1, 2, 3, 4], hidden=[1, 2, 3, 4], vectors=[2])(inputs)
    some = Capture(model, attention=[2], hidden=[3])(inputs)
    assert (list(some.attention), list(some.hidden)) == ([2], [3])
    assert torch.equal(some.attention[2], every.attention[2])
    assert torch.equal(some.hidden[3], every.hidden[3])
    assert every.queries[2].shape == every.keys[2].shape == every.values[2].shape == (3, 4, 7, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_students_are_berts_that_read_the_teachers_tokens(kind) -> None:
    teacher = make(kind)
    student = build_student(teacher, Size(2, 8, 2, 6, "small"))
    assert type(student) is BertForSequenceClassification
    words = student.get_input_embeddings().weight
    theirs = teacher.get_input_embeddings().weight
    if kind != "albert":
        assert torch.equal(words, theirs[:, kept_dimensions(teacher, 8)])
    assert words.shape == (40, 8)
    assert positions_of(student) == (30 if kind == "mpnet" else 32)
    assert student.config.num_labels == 3
    logits_of(student, tiny_batch(student))
    assert (len(input_names(student)) == 3) is (kind == "albert")


def test_layers_are_copied_where_they_mean_the_same() -> None:
    teacher = make("mpnet")
    student = build_student(teacher, Size(2, 16, 4, 12, "two"))
    ours, theirs = student.bert.encoder.layer[1], teacher.mpnet.encoder.layer[3]
    assert torch.equal(ours.attention.self.query.weight, theirs.attention.attn.q.weight)
    assert torch.equal(ours.attention.output.dense.bias, theirs.attention.attn.o.bias)
    assert torch.equal(ours.output.LayerNorm.weight, theirs.output.LayerNorm.weight)
    table = teacher.mpnet.embeddings.position_embeddings.weight
    assert torch.equal(student.bert.embeddings.position_embeddings.weight, table[2:])
    assert torch.equal(student.classifier.weight, teacher.classifier.out_proj.weight)
    deep = build_student(make("modernbert"), Size(6, 16, 4, 64, "other"))
    assert deep.config.intermediate_size == 64


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_is_loaded_with_a_new_head_and_its_shape_is_known(kind, tmp_path) -> None:
    model = make(kind)
    model.base_model.save_pretrained(tmp_path)
    loaded = load_teacher(tmp_path, labels=["a", "b"], finetuned=False)
    assert logits_of(loaded, tiny_batch(loaded)).shape == (3, 2)
    shape = teacher_shape(str(tmp_path))
    assert (shape.layers, shape.hidden, shape.heads, shape.vocab) == (LAYERS, 16, 4, 40)
    assert shape.positions == positions_of(model)
    assert macs(model, 7) > 0
    size = Size(1, 8, 2, 6, "small")
    student = build_student(model, size)
    planned = Shape.of_teacher(shape, labels=3).student(size).parameters
    assert planned == sum(parameter.numel() for parameter in student.parameters())


@pytest.mark.parametrize("kind", TEACHERS)
def test_what_only_teaches_is_not_pruned(kind) -> None:
    with pytest.raises(ModelError, match="can teach, and is not pruned"):
        layer_sizes(make(kind))


def test_recipes_know_the_same_families() -> None:
    assert tuple(FAMILIES) == STUDENTS
    assert tuple(TEACHERS) == NAMES
