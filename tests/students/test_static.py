from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from distill.export.plain import export_plain
from distill.quantization.methods.table import quantize_table
from distill.runtime.table import TableSession
from distill.system.errors import ModelError
from students.heads import logits_of
from students.static import build_static, frequency_weights, special_ids, zipf_counts
from teachers.load import load_model, load_tokenizer


@pytest.fixture
def teacher(tiny_bert):
    folder = tiny_bert()
    return load_model(folder), load_tokenizer(folder)


def build(teacher, **kwargs):
    model, tokenizer = teacher
    weights = np.ones(len(tokenizer))
    return build_static(model, tokenizer, **({"dim": 8, "weights": weights} | kwargs))


def batch(teacher, texts: list[str]) -> dict[str, torch.Tensor]:
    return dict(teacher[1](texts, padding=True, return_tensors="pt"))


def test_a_table_holds_the_principal_parts_of_the_teachers_vectors(teacher) -> None:
    model, tokenizer = teacher
    table = build(teacher).get_input_embeddings().weight.detach().numpy()
    ids = torch.tensor([[tokenizer.cls_token_id, one, tokenizer.sep_token_id] for one in (10, 20)])
    with torch.inference_mode():
        vectors = model.base_model(input_ids=ids).last_hidden_state.mean(dim=1).numpy()
    # Without reduction, distances are the teacher's but for one factor.
    whole = build(teacher, dim=32).get_input_embeddings().weight.detach().numpy()
    factors = np.linalg.norm(whole[10] - whole[20]) / np.linalg.norm(vectors[0] - vectors[1])
    other = torch.tensor([[tokenizer.cls_token_id, 30, tokenizer.sep_token_id]])
    with torch.inference_mode():
        third = model.base_model(input_ids=other).last_hidden_state.mean(dim=1).numpy()[0]
    expected = factors * np.linalg.norm(vectors[0] - third)
    assert np.linalg.norm(whole[10] - whole[30]) == pytest.approx(expected, rel=1e-4)
    plain = np.setdiff1d(np.arange(len(table)), special_ids(tokenizer))
    assert np.square(table[plain]).sum(axis=1).mean() == pytest.approx(1, rel=1e-4)
    variances = whole[plain].var(axis=0)
    assert (np.diff(variances) <= 1e-6).all()


def test_special_tokens_and_padding_do_not_count(teacher) -> None:
    student = build(teacher).eval()
    student.config.special_ids = special_ids(teacher[1])
    texts = ["the good film", "the good film and a dull one", ""]
    together = logits_of(student, batch(teacher, texts))
    for text, row in zip(texts, together, strict=True):
        torch.testing.assert_close(logits_of(student, batch(teacher, [text]))[0], row)
    table = student.get_input_embeddings().weight
    ids = teacher[1]("the good film", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(together[0], student.classifier(table[ids].mean(dim=0)))
    torch.testing.assert_close(together[2], student.classifier.bias)


def test_common_tokens_weigh_less() -> None:
    weights = frequency_weights(np.array([0, 1, 999]))
    assert weights == pytest.approx([1, 0.5, 1e-3 / 1.0], rel=1e-2)
    counts = zipf_counts(4, [0])
    assert counts.tolist() == [0, 10**9, 5 * 10**8, 333333333]


def test_more_dimensions_than_the_teacher_has_are_refused(teacher) -> None:
    with pytest.raises(ModelError, match=r"33 is more than the teacher's vectors of .* write 32"):
        build(teacher, dim=33)


@pytest.mark.parametrize("head_size", [None, 6])
def test_numpy_gives_what_torch_gives_in_any_batch(teacher, tmp_path: Path, head_size) -> None:
    student = build(teacher, head_size=head_size)
    format, path = export_plain(student, tmp_path)
    assert (format, path.name) == ("numpy", "table.safetensors")
    texts = ["", "the good film", "a dull film, the worst of all that there are", "film"]
    inputs = batch(teacher, texts)
    arrays = [inputs[name].numpy() for name in ("input_ids", "attention_mask", "token_type_ids")]
    session = TableSession(path)
    found = session.run(*arrays)
    with torch.inference_mode():
        np.testing.assert_allclose(found, logits_of(student, inputs), atol=1e-6)
    for number, text in enumerate(texts):
        alone = [one.numpy() for one in batch(teacher, [text]).values()]
        mask, ids = alone[-1], alone[0]
        assert (session.run(ids, mask, mask)[0] == found[number]).all()

    int8 = tmp_path / "int8.safetensors"
    quantize_table(path, int8)
    rounded = TableSession(int8).run(*arrays)
    assert 0 < np.abs(rounded - found).max() < 0.02


def test_damaged_tables_are_refused(teacher, tmp_path: Path) -> None:
    _, path = export_plain(build(teacher), tmp_path)
    whole = path.read_bytes()
    for content in (b"", b"\0" * 20, whole[:40], whole[:-8], b"\x02" + b"\0" * 7 + b"{}"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not a static student's table"):
            TableSession(path)
    path.unlink()
    with pytest.raises(ModelError, match="no such file"):
        TableSession(path)
