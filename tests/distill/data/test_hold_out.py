"""Held-out rows: by label, the same every time, and refused where they could say nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distill.data.hold_out import hold_out
from distill.data.split import Split, TaskData
from distill.recipe.schema import DataConfig
from distill.system.errors import DataError
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.config import TaskSection
from distill.tasks.load import load_task_data
from distill.tasks.ner.tokens import tagged
from distill.text.tags import TagSet

ONE = ClassificationTask(kind="classification")


def load(path: Path, task: TaskSection = ONE, seed: int = 0, **changes: Any) -> TaskData:
    return load_task_data(DataConfig(source="files", train=str(path), **changes), task, seed=seed)


def write(path: Path, labels: list[Any]) -> Path:
    rows = [json.dumps({"text": f"text {n}", "label": one}) for n, one in enumerate(labels)]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def parts(split: Split, names: list[str], seed: int = 0) -> tuple[Split, Split, list[str]]:
    notes: list[str] = []
    return *hold_out(split, names, seed, place="rows.csv", notes=notes), notes


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("at", [0, 33, 60])
def test_a_label_with_one_row_is_learned_and_named(tmp_path: Path, at: int, seed: int) -> None:
    labels = ["a"] * 30 + ["b"] * 30
    labels.insert(at, "rare")
    path = write(tmp_path / "rare.jsonl", labels)
    found = load(path, seed=seed)
    counts = Counter(found.labels[label] for label in found.validation.labels)
    assert counts == {"a": 3, "b": 3}
    assert found.labels.index("rare") in found.train.labels
    assert found.notes == [
        "no validation data: 6 of 61 training examples are held out for it",
        f"{path}: too few examples have the label 'rare' to hold one out: all are learned "
        "from, and no score on the validation examples looks at it",
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=8), st.integers(0, 5))
@example([7, 21], 0)
def test_every_label_is_in_both_parts_in_its_share(sizes: list[int], seed: int) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    labels = np.random.default_rng(seed).permutation(labels).tolist()
    split = Split("train", [f"text {n}" for n in range(len(labels))], labels)
    if sum(size > 1 for size in sizes) < 2:
        with pytest.raises(DataError, match="too few to hold some out for validation"):
            parts(split, [str(n) for n in range(len(sizes))], seed)
        return
    train, held, notes = parts(split, [f"'{n}'" for n in range(len(sizes))], seed)
    left, out = Counter(train.labels), Counter(held.labels)
    for part in (train, held):
        assert part.texts == sorted(part.texts, key=split.texts.index)
    assert sorted([*train.texts, *held.texts]) == sorted(split.texts)
    share = max(1, len(labels) // 10) / len(labels)  # whole rows are held out: of 28 two, not 2.8
    for label, size in enumerate(sizes):
        assert left[label] >= 1
        assert out[label] >= (size > 1)
        assert abs(out[label] - size * share) <= 1
    assert len(notes) == 1 + (1 in sizes)
    # Nothing but the seed and the rows counts.
    assert parts(split, [f"'{n}'" for n in range(len(sizes))], seed)[:2] == (train, held)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 80), st.integers(2, 6), st.integers(0, 200))
def test_each_of_several_labels_is_in_both_parts(rows: int, labels: int, seed: int) -> None:
    draw = np.random.default_rng(seed).random((rows, labels)) < np.linspace(0.5, 0.1, labels)
    groups = [tuple(np.flatnonzero(row).tolist()) for row in draw]
    split = Split("train", [f"text {n}" for n in range(rows)], groups, outputs=labels)
    names = [str(n) for n in range(labels)]
    train, held, notes = parts(split, names, seed)
    assert 1 <= len(held) <= rows // 3
    missing = [
        name for label, name in enumerate(names)
        if draw[:, label].sum() >= 2 and not any(label in group for group in held.labels)
    ]  # fmt: skip
    assert all(any(name in note for note in notes[1:]) for name in missing)
    assert len(missing) <= 1  # rows that share their labels can keep one from being parted
    for label in np.flatnonzero(draw.any(axis=0)):
        assert any(label in group for group in train.labels)


def test_numbers_are_drawn_from_all_of_their_range() -> None:
    numbers = np.random.default_rng(0).permutation(np.arange(100.0)).tolist()
    split = Split("train", [f"text {n}" for n in range(100)], numbers)
    _, held, _ = parts(split, [])
    assert sorted(number // 10 for number in held.labels) == list(range(10))
    # A correlation of one row would be no score.
    assert len(parts(split.take(range(12)), [])[1]) == 3
    with pytest.raises(DataError, match=r"^rows.csv: 5 examples are too few to hold some out"):
        parts(split.take(range(5)), [])


def test_entities_are_drawn_by_their_types() -> None:
    tag_set = TagSet(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], "bio")
    rows = [[0, 0]] * 60 + [[1, 2]] * 30 + [[3, 0]] * 4
    split = tagged("train", [["one", "two"]] * len(rows), rows, tag_set)
    _, held, notes = parts(split, list(tag_set.types))
    assert Counter(tuple(tags) for tags in held.labels) == {(0, 0): 6, (1, 2): 3, (3, 0): 1}
    assert len(notes) == 1
    none = tagged("train", [["one", "two"]] * 3, [[0, 0], [0, 0], [1, 2]], tag_set)
    with pytest.raises(DataError, match="those held out would have no entity"):
        parts(none, list(tag_set.types))


def test_too_few_rows_are_told_by_what_happened(tmp_path: Path) -> None:
    three = write(tmp_path / "three.jsonl", ["y", "n", "n"])
    with pytest.raises(DataError) as error:
        load(three)
    assert str(error.value) == (
        f"{three}: 3 examples are too few to hold some out for validation: those held out would "
        "all have the label 'n'; give data.validation, or more examples"
    )
    two = write(tmp_path / "two.jsonl", ["y", "n"])
    with pytest.raises(
        DataError, match="2 examples are too few to hold some out for validation; give"
    ):
        load(two)
    found = load(three, validation=str(two))
    assert (len(found.train), len(found.validation)) == (3, 2)


def test_scores_on_rows_of_one_label_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ["y", "n"] * 4)
    other = write(tmp_path / "other.jsonl", ["y"] * 3)
    notes = load(path, validation=str(other)).notes
    assert (
        "validation: all 3 examples have the label 'y'; a model that always predicts it has the "
        "best score"
    ) in notes


def test_another_process_holds_the_same_rows_out(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", [["a", "b", "c", "d"][: n % 5] for n in range(60)])
    code = (
        "import sys; from distill.tasks.load import load_task_data as load\n"
        "from distill.recipe.schema import DataConfig\n"
        "from distill.tasks.multi_label.config import MultiLabelTask\n"
        "data = DataConfig(source='files', train=sys.argv[1])\n"
        "print(list(load(data, MultiLabelTask(kind='multi_label'), seed=3).validation.texts))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1
