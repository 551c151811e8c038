"""What holds for every family of students: surgery, graphs and folders."""

import numpy as np
import pytest
import torch
from families import positions_kept, tiny_batch, tiny_model
from narrow import narrow_forward
from torch.testing import assert_close
from transformers import AutoModelForSequenceClassification

from distill.capture.capture import Capture
from distill.evaluation.cost import macs
from distill.export.onnx import export_onnx
from distill.export.openvino import export_openvino
from distill.pruning.layers import keep_layers
from distill.pruning.mask_gradients import times_masks
from distill.pruning.masks import Masks
from distill.pruning.reconstruct import reconstruct
from distill.pruning.surgery import slice_model
from distill.pruning.width import Width, slice_width
from distill.recipe.model_shapes import teacher_shape
from distill.recipe.shapes import Shape
from distill.recipe.sizes import Size
from distill.runtime.openvino_session import OpenVinoSession
from distill.runtime.session import OnnxSession
from distill.training.pretrain import PretrainModule
from students.anatomy import anatomy
from students.build import build_student
from students.family import FAMILIES, PRUNED
from students.from_teacher import kept_dimensions
from students.heads import last_linear, logits_of, positions_of
from teachers.load import load_model

TASKS = ("classification", "tokens", "spans", "vectors")
#: Families, and ELECTRA's base sizes, whose embeddings are as wide as the hidden states.
KINDS = [*FAMILIES, "electra, one width"]


def masks(seed: int) -> Masks:
    torch.manual_seed(seed)
    heads = [torch.rand(4) > 0.4, torch.zeros(4, dtype=torch.bool)]
    return Masks(heads, [torch.rand(12) > 0.4, torch.rand(12) > 0.6])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", TASKS)
def test_sliced_models_equal_masked_ones_and_load_again(kind, head, tmp_path) -> None:
    model = tiny_model(kind, head)
    inputs, chosen = tiny_batch(model), masks(seed=len(head))
    sliced = slice_model(model, chosen)
    assert sliced.config.model_type == f"{PRUNED}{model.config.model_type}"
    with torch.no_grad(), times_masks(model, chosen.heads, chosen.ffn):
        assert_close(logits_of(sliced, inputs), logits_of(model, inputs), atol=1e-5, rtol=0)
    sliced.save_pretrained(tmp_path)
    again = load_model(tmp_path, head=head)
    assert type(again) is type(sliced)
    assert torch.equal(logits_of(again, inputs), logits_of(sliced, inputs))
    assert macs(sliced, 7) < macs(model, 7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", ["classification", "tokens", "vectors"])
def test_narrow_models_equal_narrow_forward_passes(kind, head) -> None:
    model = tiny_model(kind, head)
    hidden = torch.arange(16) % 4 != 1
    pooled = torch.arange(16) % 4 != 2
    has_pooled = head == "classification" or getattr(model, "pooler", None) is not None
    kept = Width(hidden, pooled if has_pooled else None)
    narrow = slice_width(model, kept)
    assert narrow.config.hidden_size == 12
    inputs = tiny_batch(model)
    with torch.no_grad(), narrow_forward(model, kept):
        expected = logits_of(model, inputs)
    if head == "vectors":
        expected = expected[:, hidden]
    with torch.no_grad():
        assert_close(logits_of(narrow, inputs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kind", "pruned"), [(kind, n % 2) for n, kind in enumerate(KINDS)])
def test_the_graph_gives_what_the_model_gives(kind, pruned, tmp_path) -> None:
    model = tiny_model(kind)
    if pruned:
        model = slice_model(model, masks(seed=1))
    export_onnx(model, tmp_path / "model.onnx")
    inputs = tiny_batch(model)
    arrays = [inputs[n].numpy() for n in ("input_ids", "attention_mask", "token_type_ids")]
    found = OnnxSession(tmp_path / "model.onnx", threads=1).run(*arrays)
    np.testing.assert_allclose(found, logits_of(model, inputs).detach().numpy(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.own_process
def test_openvino_gives_what_the_models_give(tmp_path) -> None:
    pytest.importorskip("openvino")
    for kind in ("roberta", "distilbert"):
        model, folder = slice_model(tiny_model(kind), masks(seed=1)), tmp_path / kind
        folder.mkdir()
        export_onnx(model, folder / "model.onnx")
        export_openvino(folder / "model.onnx", folder / "model.xml")
        inputs = tiny_batch(model)
        arrays = [inputs[n].numpy() for n in ("input_ids", "attention_mask", "token_type_ids")]
        found = OpenVinoSession(folder / "model.xml", threads=1).run(*arrays)
        np.testing.assert_allclose(found, logits_of(model, inputs).detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_students_are_of_the_teachers_family_and_know_what_it_knows(kind) -> None:
    teacher = tiny_model(kind)
    same = build_student(teacher, Size(2, 16, 4, 12, "same")).eval()
    inputs = tiny_batch(teacher)
    with torch.no_grad():
        assert_close(logits_of(same, inputs), logits_of(teacher, inputs), atol=1e-6, rtol=0)
    small = build_student(teacher, Size(1, 8, 2, 6, "small"))
    assert type(small) is type(teacher)
    words, ours = teacher.get_input_embeddings().weight, small.get_input_embeddings().weight
    kept = kept_dimensions(teacher, 8)
    narrow = words.shape[1] < 16 or ours.shape[1] != 8  # embeddings of a width of their own
    assert torch.equal(ours, words[:, : ours.shape[1]] if narrow else words[:, kept])
    assert torch.equal(last_linear(small).weight, last_linear(teacher).weight[:, kept])


@pytest.mark.parametrize("kind", KINDS)
def test_every_position_that_is_told_can_be_read(kind) -> None:
    model = tiny_model(kind)
    assert positions_of(model) == 32 - positions_kept(kind)
    logits_of(model, tiny_batch(model, length=positions_of(model)))
    with pytest.raises((IndexError, RuntimeError)):
        logits_of(model, tiny_batch(model, length=positions_of(model) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_removed_and_fitted_again(kind) -> None:
    model = tiny_model(kind)
    assert anatomy(keep_layers(model, [2])).depth == 1
    every = Masks([torch.ones(4, dtype=torch.bool)] * 2, [torch.ones(12, dtype=torch.bool)] * 2)
    same = slice_model(model, every)
    inputs = tiny_batch(model)
    reconstruct(same, model, [inputs])
    assert_close(logits_of(same, inputs), logits_of(model, inputs), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", [name for name, family in FAMILIES.items() if family.mlm])
def test_masked_words_are_learned(kind) -> None:
    model = tiny_model(kind, "mlm")
    inputs = tiny_batch(model)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    found = PretrainModule(model).losses({**inputs, "mlm_labels": labels})
    assert torch.isfinite(found["loss"])
    captured = Capture(model, mlm=True)({**inputs, "mlm_labels": labels})
    assert captured.mlm.shape == (int((labels != -100).sum()), 40)


def test_a_classifier_without_architectures_is_known_by_its_weights(tmp_path) -> None:
    tiny_model("roberta").save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    loaded.config.architectures = None
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"architectures"', '"no_architectures"'))
    assert type(load_model(tmp_path)) is type(loaded)


@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_counts_what_there_is(kind, tmp_path) -> None:
    model = tiny_model(kind)
    model.config.save_pretrained(tmp_path)
    teacher = Shape.of_teacher(teacher_shape(str(tmp_path)), labels=3)
    size = Size(1, 8, 2, 6, "small")
    assert teacher.macs(7) == macs(model, 7)
    for shape, built in ((teacher, model), (teacher.student(size), build_student(model, size))):
        assert shape.parameters == sum(parameter.numel() for parameter in built.parameters())
