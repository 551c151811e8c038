"""Sentences in pairs: what is a row, how they are batched, and what is refused."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from distill.data.batches import GroupSampler
from distill.data.split import TaskData
from distill.recipe.schema import Columns, DataConfig
from distill.system.errors import DataError
from distill.tasks.load import load_task_data
from distill.tasks.vectors.config import VectorsTask
from distill.tasks.vectors.data import SentenceExamples, VectorSplit

TASK = VectorsTask(kind="vectors")
COLUMNS = Columns(text="a", text_pair="b", label="score")


def jsonl(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def pairs(count: int) -> list[dict[str, object]]:
    return [{"a": f"good film {i}", "b": "bad film", "score": i / 2} for i in range(count)]


def loaded(train: str, validation: str | None, **more: object) -> TaskData:
    data = DataConfig(source="files", train=train, validation=validation, columns=COLUMNS, **more)  # type: ignore[arg-type]
    return load_task_data(data, TASK, seed=1)


def test_training_rows_of_three_kinds(tmp_path: Path) -> None:
    dev = jsonl(tmp_path / "dev.jsonl", pairs(4))
    scored = loaded(jsonl(tmp_path / "1.jsonl", pairs(6)), dev, limit_train=3)
    assert isinstance(scored.train, VectorSplit)
    assert scored.train.scored
    assert len(scored.train) == len(scored.train.labels) == 3
    bare = [{"a": row["a"], "b": row["b"]} for row in pairs(6)]
    unscored = loaded(jsonl(tmp_path / "2.jsonl", bare), dev).train
    assert unscored.pairs is not None
    assert unscored.labels == []
    single = loaded(jsonl(tmp_path / "3.jsonl", [{"a": "one film"}, {"a": "two"}]), dev).train
    assert single.pairs is None
    assert len({one.digest() for one in (scored.train, unscored, single)}) == 3
    assert not scored.train.paired


def test_each_text_is_a_row_of_its_own(tmp_path: Path, tiny_bert: Callable[..., Path]) -> None:
    split = VectorSplit("train", ["the film", "good"], [1.0, 4.5], ["a bad film here", "fine"])
    rows = split.encode(AutoTokenizer.from_pretrained(tiny_bert()), max_length=16)
    assert isinstance(rows, SentenceExamples)
    assert rows.lengths.tolist() == [4, 6, 3, 3]
    assert rows.labels.tolist() == [1.0, 1.0, 4.5, 4.5]
    again = pickle.loads(pickle.dumps(rows))
    assert again.in_pairs
    assert len(again) == 4
    single = VectorSplit("train", split.texts, []).encode(
        AutoTokenizer.from_pretrained(tiny_bert()), max_length=16
    )
    assert len(single) == 2
    assert all(math.isnan(label) for label in single.labels)
    assert not isinstance(single.sampler(2, seed=0), GroupSampler)


@pytest.mark.parametrize("world", [1, 2])
def test_pairs_stay_together(world: int) -> None:
    lengths = np.random.default_rng(0).integers(3, 30, 2 * 37)
    seen: list[int] = []
    for rank in range(world):
        sampler = GroupSampler(lengths, np.arange(0, 74, 2), 4, seed=3, rank=rank, world=world)
        for batch in sampler:
            assert len(batch) <= 8
            assert all(one % 2 == 0 for one in batch[::2])
            assert [one + 1 for one in batch[::2]] == batch[1::2]
            seen += batch
    assert sorted(seen) == list(range(74))


def test_a_resumed_run_skips_batches() -> None:
    lengths, pairs = np.full(40, 5), np.arange(0, 40, 2)
    whole, rest = (GroupSampler(lengths, pairs, 4, seed=1) for _ in range(2))
    rest.skip(2, epoch=0)
    assert list(rest) == list(whole)[2:]
    assert len(whole) == 5


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"a": "x", "b": "y", "score": "much"}, "'much'; how alike two texts are"),
        ({"a": "x", "b": "y", "score": None}, "how alike two texts are"),
        ({"a": "x", "b": " ", "score": 1}, "is empty"),
    ],
)
def test_issues_of_rows(tmp_path: Path, row: dict[str, object], said: str) -> None:
    dev = jsonl(tmp_path / "dev.jsonl", [*pairs(3), row])
    with pytest.raises(DataError, match=said) as caught:
        loaded(jsonl(tmp_path / "train.jsonl", pairs(3)), dev)
    assert "dev.jsonl:4" in str(caught.value)


def test_what_cannot_be_scored(tmp_path: Path) -> None:
    single = jsonl(tmp_path / "train.jsonl", [{"a": f"film {i}"} for i in range(20)])
    with pytest.raises(DataError, match=r"data.validation: vectors are scored on pairs"):
        loaded(single, None)
    same = jsonl(tmp_path / "dev.jsonl", [{"a": "x", "b": "y", "score": 1}] * 3)
    with pytest.raises(DataError, match="all 3 pairs are equally alike"):
        loaded(single, same)
    held = loaded(jsonl(tmp_path / "pairs.jsonl", pairs(20)), None)
    assert len(held.validation) == 3
