"""What holds for every family: capture, surgery, graphs and folders."""

import copy

import numpy as np
import pytest
import torch
import transformers
from narrow import narrow_forward
from torch.testing import assert_close
from transformers import AutoModelForSequenceClassification, PreTrainedModel

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
from students.heads import class_of, last_linear, logits_of, positions_of
from students.pooling import POOLING
from teachers.load import load_model

TASKS = ("classification", "tokens", "spans", "vectors")
#: Families, and ELECTRA's base sizes, whose embeddings are as wide as the hidden states.
KINDS = [*FAMILIES, "electra, one width"]


def make(kind: str, head: str = "classification", **changes: object) -> PreTrainedModel:
    family = FAMILIES[kind.partition(",")[0]]
    config = getattr(transformers, f"{family.prefix}Config")(
        vocab_size=40,
        **{
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            family.ffn_size: 12,
        },
        max_position_embeddings=32,
        pad_token_id=1 if positions_kept(kind) else 0,
        **({"type_vocab_size": 1 if positions_kept(kind) else 2} if has_types(kind) else {}),
        num_labels=2 if head == "spans" else 3,
        **changes,
    )
    if family.name == "electra":
        config.embedding_size = 8 if kind == "electra" else 16
    if head == "vectors":
        setattr(config, POOLING, "mean")
    torch.manual_seed(3)
    model = class_of(config, head)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # random weights hardly tell tokens apart otherwise
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    model.config.architectures = [type(model).__name__]
    return model


def has_types(kind: str) -> bool:
    """Whether a family has embeddings for types of tokens."""
    return kind != "distilbert"


def positions_kept(kind: str) -> int:
    """How many positions a family keeps for itself."""
    return 2 if "roberta" in kind or kind == "camembert" else 0


def batch(model: PreTrainedModel, rows: int = 3, length: int = 7) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(rows, length, dtype=torch.int64)
    mask[1, 4:] = 0
    ids = torch.randint(5, 40, (rows, length), generator=generator)
    types = torch.zeros_like(ids)
    types[:, 3:] = 1  # what a BERT's tokenizer gives; a RoBERTa does not read it
    return {
        "input_ids": ids.masked_fill(mask == 0, model.config.pad_token_id),
        "attention_mask": mask,
        "token_type_ids": types * mask,
    }


def masks(seed: int) -> Masks:
    torch.manual_seed(seed)
    heads = [torch.rand(4) > 0.4, torch.zeros(4, dtype=torch.bool)]
    return Masks(heads, [torch.rand(12) > 0.4, torch.rand(12) > 0.6])


@pytest.mark.parametrize("kind", KINDS)
def test_captured_signals_are_the_models_own(kind) -> None:
    model = make(kind)
    inputs = batch(model)
    found = Capture(model, attention=[1, 2], hidden=[1, 2], embedding=True, logits=True)(inputs)
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    read = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        read["token_type_ids"] = inputs["token_type_ids"]
    with torch.no_grad():
        own = eager(**read, output_hidden_states=True, output_attentions=True)
    away = torch.zeros(3, 1, 1, 7).masked_fill(inputs["attention_mask"][:, None, None] == 0, -1e30)
    for layer, expected in enumerate(own.attentions, start=1):
        assert_close((found.attention[layer] + away).softmax(-1), expected, atol=1e-5, rtol=0)
    for signal, expected in zip(
        (found.embedding, found.hidden[1], found.hidden[2]), own.hidden_states, strict=True
    ):
        assert_close(signal, expected, atol=1e-5, rtol=0)
    assert_close(found.logits, own.logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", TASKS)
def test_sliced_models_equal_masked_ones_and_load_again(kind, head, tmp_path) -> None:
    model = make(kind, head)
    inputs, chosen = batch(model), masks(seed=len(head))
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
    model = make(kind, head)
    hidden = torch.arange(16) % 4 != 1
    pooled = torch.arange(16) % 4 != 2
    has_pooled = head == "classification" or getattr(model, "pooler", None) is not None
    kept = Width(hidden, pooled if has_pooled else None)
    narrow = slice_width(model, kept)
    assert narrow.config.hidden_size == 12
    inputs = batch(model)
    with torch.no_grad(), narrow_forward(model, kept):
        expected = logits_of(model, inputs)
    if head == "vectors":
        expected = expected[:, hidden]
    with torch.no_grad():
        assert_close(logits_of(narrow, inputs), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("kind", "pruned"), [(kind, n % 2) for n, kind in enumerate(KINDS)])
def test_the_graph_gives_what_the_model_gives(kind, pruned, tmp_path) -> None:
    model = make(kind)
    if pruned:
        model = slice_model(model, masks(seed=1))
    export_onnx(model, tmp_path / "model.onnx")
    inputs = batch(model)
    arrays = [inputs[n].numpy() for n in ("input_ids", "attention_mask", "token_type_ids")]
    found = OnnxSession(tmp_path / "model.onnx", threads=1).run(*arrays)
    np.testing.assert_allclose(found, logits_of(model, inputs).detach().numpy(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.own_process
def test_openvino_gives_what_the_models_give(tmp_path) -> None:
    pytest.importorskip("openvino")
    for kind in ("roberta", "distilbert"):
        model, folder = slice_model(make(kind), masks(seed=1)), tmp_path / kind
        folder.mkdir()
        export_onnx(model, folder / "model.onnx")
        export_openvino(folder / "model.onnx", folder / "model.xml")
        inputs = batch(model)
        arrays = [inputs[n].numpy() for n in ("input_ids", "attention_mask", "token_type_ids")]
        found = OpenVinoSession(folder / "model.xml", threads=1).run(*arrays)
        np.testing.assert_allclose(found, logits_of(model, inputs).detach().numpy(), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_students_are_of_the_teachers_family_and_know_what_it_knows(kind) -> None:
    teacher = make(kind)
    same = build_student(teacher, Size(2, 16, 4, 12, "same")).eval()
    inputs = batch(teacher)
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
    model = make(kind)
    assert positions_of(model) == 32 - positions_kept(kind)
    logits_of(model, batch(model, length=positions_of(model)))
    with pytest.raises((IndexError, RuntimeError)):
        logits_of(model, batch(model, length=positions_of(model) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_removed_and_fitted_again(kind) -> None:
    model = make(kind)
    assert anatomy(keep_layers(model, [2])).depth == 1
    every = Masks([torch.ones(4, dtype=torch.bool)] * 2, [torch.ones(12, dtype=torch.bool)] * 2)
    same = slice_model(model, every)
    inputs = batch(model)
    reconstruct(same, model, [inputs])
    assert_close(logits_of(same, inputs), logits_of(model, inputs), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", [name for name, family in FAMILIES.items() if family.mlm])
def test_masked_words_are_learned(kind) -> None:
    model = make(kind, "mlm")
    inputs = batch(model)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    found = PretrainModule(model).losses({**inputs, "mlm_labels": labels})
    assert torch.isfinite(found["loss"])
    captured = Capture(model, mlm=True)({**inputs, "mlm_labels": labels})
    assert captured.mlm.shape == (int((labels != -100).sum()), 40)


def test_a_classifier_without_architectures_is_known_by_its_weights(tmp_path) -> None:
    make("roberta").save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    loaded.config.architectures = None
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"architectures"', '"no_architectures"'))
    assert type(load_model(tmp_path)) is type(loaded)


@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_counts_what_there_is(kind, tmp_path) -> None:
    model = make(kind)
    model.config.save_pretrained(tmp_path)
    teacher = Shape.of_teacher(teacher_shape(str(tmp_path)), labels=3)
    size = Size(1, 8, 2, 6, "small")
    assert teacher.macs(7) == macs(model, 7)
    for shape, built in ((teacher, model), (teacher.student(size), build_student(model, size))):
        assert shape.parameters == sum(parameter.numel() for parameter in built.parameters())
