"""Students: first weights from teacher layers, from a folder, or drawn from a seed."""

from __future__ import annotations

import json

import pytest
import torch
from families import tiny_model
from transformers import BertForSequenceClassification, PreTrainedModel

from distill.recipe.sizes import Size
from distill.system.errors import ModelError
from distill.training.distill import DistillModule
from students.build import build_student
from students.from_teacher import choose_layers, kept_dimensions


def make_teacher(
    layers: int = 6, hidden: int = 32, heads: int = 4, ffn: int = 64
) -> PreTrainedModel:
    return tiny_model(
        "bert",
        layers=layers,
        vocab_size=50,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=ffn,
        max_position_embeddings=40,
        id2label={0: "no", 1: "maybe", 2: "yes"},
        label2id={"no": 0, "maybe": 1, "yes": 2},
        problem_type="single_label_classification",
        layer_norm_eps=1e-6,
        hidden_dropout_prob=0.2,
    )


def size(layers: int = 3, hidden: int = 32, heads: int = 4, ffn: int = 64) -> Size:
    return Size(layers, hidden, heads, ffn, name=f"{layers}x{hidden}")


def layer_weights(model, index):
    return model.bert.encoder.layer[index].state_dict()


@pytest.mark.parametrize(
    ("layers", "taken"), [("uniform", (2, 4, 6)), ("first", (1, 2, 3)), ("last", (4, 5, 6))]
)
def test_same_width_copies_the_exact_tensors(layers, taken) -> None:
    teacher = make_teacher()
    student = build_student(teacher, size(), init="teacher-layers", layers=layers, seed=0)
    for mine, theirs in enumerate(taken):
        source = layer_weights(teacher, theirs - 1)
        for name, weight in layer_weights(student, mine).items():
            assert torch.equal(weight, source[name]), name
    assert torch.equal(student.classifier.weight, teacher.classifier.weight)
    assert torch.equal(student.bert.pooler.dense.bias, teacher.bert.pooler.dense.bias)
    for name, weight in student.bert.embeddings.state_dict().items():
        assert torch.equal(weight, teacher.bert.embeddings.state_dict()[name]), name


def test_full_size_copy_gives_the_teachers_logits() -> None:
    teacher = make_teacher()
    student = build_student(teacher, size(6), init="teacher-layers", layers="uniform", seed=0)
    ids = torch.tensor([[2, 5, 7, 3]])
    with torch.no_grad():
        assert torch.equal(student.eval()(ids).logits, teacher(ids).logits)


def test_config_keeps_vocabulary_labels_and_problem_type() -> None:
    teacher = make_teacher()
    config = build_student(teacher, size(), init="random", layers="uniform", seed=0).config
    assert config.vocab_size == 50
    assert config.max_position_embeddings == 40
    assert config.id2label == {0: "no", 1: "maybe", 2: "yes"}
    assert config.label2id == {"no": 0, "maybe": 1, "yes": 2}
    assert config.problem_type == "single_label_classification"
    assert (config.layer_norm_eps, config.hidden_dropout_prob) == (1e-6, 0.2)
    assert config.architectures == ["BertForSequenceClassification"]
    assert config._attn_implementation == "sdpa"


def test_narrower_students_are_cut_inside_each_head() -> None:
    # 384 -> 312 with 12 heads: 26 of each head's 32 rows.
    teacher = make_teacher(layers=2, hidden=384, heads=12, ffn=1536)
    narrow = Size(1, 312, 12, 1200, name="1x312")
    student = build_student(teacher, narrow, init="teacher-layers", layers="last", seed=0)
    ours, theirs = student.bert.encoder.layer[0], teacher.bert.encoder.layer[1]
    kept = kept_dimensions(teacher, 312)
    rows = torch.tensor([head * 32 + row for head in range(12) for row in range(26)])
    for part in ("query", "key", "value"):
        mine, source = getattr(ours.attention.self, part), getattr(theirs.attention.self, part)
        assert mine.weight.shape == (312, 312)
        assert torch.equal(mine.weight, source.weight[rows][:, kept])
        assert torch.equal(mine.bias, source.bias[rows])
    out, source = ours.attention.output.dense, theirs.attention.output.dense
    assert torch.equal(out.weight, source.weight[kept][:, rows])
    assert torch.equal(out.bias, source.bias[kept])
    up, source = ours.intermediate.dense, theirs.intermediate.dense
    assert torch.equal(up.weight, source.weight[:1200][:, kept])
    assert torch.equal(up.bias, source.bias[:1200])
    down, source = ours.output.dense, theirs.output.dense
    assert torch.equal(down.weight, source.weight[kept][:, :1200])
    norm = ours.output.LayerNorm
    assert torch.equal(norm.weight, theirs.output.LayerNorm.weight[kept])
    words = student.bert.embeddings.word_embeddings.weight
    assert torch.equal(words, teacher.bert.embeddings.word_embeddings.weight[:, kept])
    pooler = student.bert.pooler.dense.weight
    assert torch.equal(pooler, teacher.bert.pooler.dense.weight[kept][:, kept])
    assert torch.equal(student.classifier.weight, teacher.classifier.weight[:, kept])
    assert torch.equal(student.classifier.bias, teacher.classifier.bias)


def test_a_bare_encoder_gives_all_but_the_head() -> None:
    teacher = make_teacher()
    student = build_student(teacher.bert, size(), init="teacher-layers", seed=3)
    again = build_student(teacher.bert, size(), init="random", seed=3)
    words = student.bert.embeddings.word_embeddings.weight
    assert torch.equal(words, teacher.bert.embeddings.word_embeddings.weight)
    assert torch.equal(student.classifier.weight, again.classifier.weight)


def test_random_weights_depend_on_the_seed_alone() -> None:
    teacher = make_teacher()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build_student(teacher, size(), init="random", seed=7).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = build_student(teacher, size(), init="random", seed=7).state_dict()
    other = build_student(teacher, size(), init="random", seed=8).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_folder_gives_its_encoder(tmp_path) -> None:
    teacher = make_teacher()
    torch.manual_seed(5)
    config = build_student(teacher, size(), init="random", seed=1).config
    source = BertForSequenceClassification(config)
    source.save_pretrained(tmp_path / "classifier")
    source.bert.save_pretrained(tmp_path / "encoder")
    fresh = build_student(teacher, size(), init="random", seed=9)
    for folder in ("classifier", "encoder"):
        student = build_student(teacher, size(), init=str(tmp_path / folder), seed=9)
        for name, weight in student.bert.state_dict().items():
            assert torch.equal(weight, source.bert.state_dict()[name]), name
        assert torch.equal(student.classifier.weight, fresh.classifier.weight)


def test_a_folder_of_another_size_or_family_is_refused(tmp_path) -> None:
    teacher = make_teacher()
    teacher.save_pretrained(tmp_path / "six")
    with pytest.raises(ModelError, match=r"num_hidden_layers 6 \(wanted 3\)"):
        build_student(teacher, size(3), init=str(tmp_path / "six"), seed=0)
    config = tmp_path / "six" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "roberta"}))
    with pytest.raises(ModelError, match="holds a 'roberta'"):
        build_student(teacher, size(6), init=str(tmp_path / "six"), seed=0)
    with pytest.raises(ModelError, match="no such folder"):
        build_student(teacher, size(), init=str(tmp_path / "nowhere"), seed=0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (size(7), "7 layers cannot be copied from a teacher of 6"),
        (size(3, 64, 4, 64), "64 wide cannot be cut from a teacher 32"),
        (size(3, 32, 4, 65), "65 wide in its feed-forward part cannot"),
        (size(3, 30, 4, 60), "4 heads do not divide 30"),
    ],
)
def test_students_that_do_not_fit_are_refused(shape, message) -> None:
    with pytest.raises(ModelError, match=message):
        build_student(make_teacher(), shape, init="teacher-layers", layers="uniform", seed=0)


def test_a_pruned_teacher_is_refused() -> None:
    pruned = tiny_model("pruned_bert", heads_per_layer=[4, 2])
    with pytest.raises(ModelError, match="not from a 'pruned_bert'"):
        build_student(pruned, size(2), init="random", seed=0)


def test_the_dimensions_with_the_largest_gains_are_kept() -> None:
    teacher = make_teacher(layers=2, hidden=32, heads=4)
    kept = torch.tensor([1, 2, 5, 8, 11, 13, 17, 18, 20, 22, 24, 25, 27, 28, 30, 31])
    for module in teacher.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.weight.data.fill_(0.5)
            module.weight.data[kept] = -0.7
    teacher.bert.embeddings.LayerNorm.weight.data[0] = 0.9  # of one LayerNorm alone
    student = build_student(teacher, size(2, hidden=16, heads=4, ffn=32), seed=0)
    assert torch.equal(kept_dimensions(teacher, 16), kept)
    words = teacher.bert.embeddings.word_embeddings.weight
    assert torch.equal(student.bert.embeddings.word_embeddings.weight, words[:, kept])
    theirs, ours = (m.bert.encoder.layer[1].output for m in (teacher, student))
    assert torch.equal(ours.dense.weight, theirs.dense.weight[kept][:, :32])
    assert torch.equal(ours.LayerNorm.bias, theirs.LayerNorm.bias[kept])
    # What is matched begins where it was cut out.
    module = DistillModule(teacher, student, ["hidden"], layer_map="uniform")
    hidden = torch.randn(3, 5, 16)
    projected = module.project(hidden, 1)
    assert torch.equal(projected[..., kept], hidden)
    assert projected.abs().sum().item() == pytest.approx(hidden.abs().sum().item())
    for module in teacher.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.weight.data.fill_(1)
    assert kept_dimensions(teacher, 16).tolist() == list(range(16))  # all of them vary alike


@pytest.mark.parametrize(
    ("student", "teacher", "layers"),
    [
        (4, 12, (3, 6, 9, 12)),
        (4, 6, (2, 3, 5, 6)),
        (5, 12, (3, 5, 8, 10, 12)),
        (1, 6, (6,)),
        (6, 6, (1, 2, 3, 4, 5, 6)),
    ],
)
def test_uniform_spreads_evenly_and_ends_at_the_top(student, teacher, layers) -> None:
    assert choose_layers("uniform", student, teacher) == layers


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([1, 2], "names 2 teacher layers for a student of 3"),
        ([1, 2, 7], "the teacher has no layer 7"),
        ("middle", "unknown kind 'middle'"),
    ],
)
def test_faulty_choices_of_layers_are_told(layers, message) -> None:
    with pytest.raises(ModelError, match=message):
        choose_layers(layers, 3, 6)
