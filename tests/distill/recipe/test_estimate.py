from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from distill.recipe.estimate import Rows, Shape, count_rows
from distill.recipe.known import teacher_shape
from distill.recipe.schema import Columns, DataConfig
from distill.recipe.sizes import resolve_size


def minilm(labels: int = 2) -> Shape:
    teacher = teacher_shape("minilm-l6")
    assert teacher is not None
    return Shape.of_teacher(teacher, labels)


@pytest.mark.parametrize("size", ["3x384", "tinybert4", "2x32/4/77"])
def test_parameters_and_macs_are_those_of_the_model(size: str) -> None:
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


def test_a_pruned_shape_keeps_the_width_of_its_heads() -> None:
    pruned = minilm().pruned(heads=0.33, ffn=0.5)
    assert (pruned.heads, pruned.head_dim, pruned.ffn, pruned.hidden) == (8, 32, 768, 384)
    assert minilm().pruned(heads=0, ffn=0) == minilm()
    assert minilm().pruned(heads=0.999, ffn=0.999).heads == 1


def test_rows_of_files_are_counted(tmp_path: Path) -> None:
    line = '{"text": "' + "a" * 90 + '", "label": 0}\n'
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    plain.write_text(line * 40)
    packed.write_bytes(gzip.compress((line * 40).encode()))
    for path in (plain, packed):
        rows = count_rows(DataConfig(source="files", train=str(path), validation="b"))
        assert rows is not None
        assert rows.count == 40
        assert rows.tokens == pytest.approx(90 / 4.5 + 2 + 3.5, abs=1)
    assert count_rows(DataConfig(source="files", train=str(plain))) == Rows(36, rows.tokens)
    limited = DataConfig(
        source="files", train=str(plain), validation="b", limit_train=7, max_length=8
    )
    assert count_rows(limited) == Rows(7, 8.0)


def test_only_the_texts_of_a_row_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"a": "x" * 45, "b": "y" * 90, "label": 0, "source": "z" * 900}
    path.write_text(f"{json.dumps(row)}\n" * 20, "utf-8")
    columns = Columns(text="a", text_pair="b")
    data = DataConfig(source="files", train=str(path), validation="b", columns=columns)
    assert count_rows(data) == Rows(20, 135 / 4.5 + 2 + 3.5)


def test_rows_that_cannot_be_told(tmp_path: Path) -> None:
    broken = tmp_path / "a.csv.gz"
    broken.write_bytes(b"no gzip")
    empty = tmp_path / "a.csv"
    empty.write_text("")
    for path in (broken, empty, tmp_path / "none.csv", tmp_path / "a.parquet"):
        data = DataConfig(source="files", train=str(path), columns=Columns())
        assert count_rows(data) is None
    assert count_rows(DataConfig(source="hub", path="some/thing")) is None


def test_rows_of_known_data_sets() -> None:
    rows = count_rows(DataConfig(source="hub", path="nyu-mll/glue", subset="mrpc", validation="v"))
    assert rows is not None
    assert rows.count == 3668
