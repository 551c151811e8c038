import csv
import json

import pytest

from distill.data.bad_rows import HINT
from distill.recipe.schema import Columns, DataConfig
from distill.system.errors import DataError
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.load import load_task_data

TASK = ClassificationTask(kind="classification")
NAMED = ClassificationTask(kind="classification", labels=["no", "yes", "perhaps"])


def write(path, rows, header=("text", "label")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def rows(count, start=0):
    return [(f"text number {n}", "yes" if n % 3 else "no") for n in range(start, start + count)]


@pytest.fixture
def files(tmp_path):
    return DataConfig(
        source="files",
        train=write(tmp_path / "train.csv", rows(40)),
        validation=write(tmp_path / "dev.csv", rows(12, 100)),
    )


def load(data, task=TASK, seed=0, **changes):
    return load_task_data(data.model_copy(update=changes), task, seed=seed)


def issue(*args, **kwargs):
    with pytest.raises(DataError) as error:
        load(*args, **kwargs)
    message = str(error.value)
    assert "\n" not in message
    return message.removesuffix(f"; {HINT}")


def test_rows_come_in_the_files_order(files):
    found = load(files)
    assert found.train.texts == [text for text, _ in rows(40)]
    assert [found.labels[label] for label in found.train.labels] == [y for _, y in rows(40)]
    assert (found.train.name, found.validation.name, found.test) == ("train", "validation", None)
    assert len(found.validation) == 12
    assert found.labels == ("no", "yes")
    assert found.notes == []


def test_pairs(tmp_path):
    header = ("a", "b", "label")
    data = [("one", "two", 0), ("three", "four", 1)]
    path = write(tmp_path / "train.csv", data, header)
    config = DataConfig(
        source="files", train=path, validation=path, columns=Columns(text="a", text_pair="b")
    )
    found = load(config)
    assert found.train.texts == ["one", "three"]
    assert found.train.pairs == ["two", "four"]


def test_limits_keep_order_and_are_drawn_by_the_seed(files, tmp_path):
    test = write(tmp_path / "test.csv", rows(30, 200))
    changes = {"limit_train": 10, "limit_validation": 5, "test": test}
    found, other = load(files, **changes), load(files, seed=3, **changes)
    assert [len(split) for split in (found.train, found.validation, found.test)] == [10, 5, 5]
    assert found.train.texts == [text for text, _ in rows(40) if text in found.train.texts]
    assert found == load(files, **changes)
    assert found.train.texts != other.train.texts
    assert found.notes == [
        "train: 10 of 40 examples are used, drawn by the seed",
        "validation: 5 of 12 examples are used, drawn by the seed",
        "test: 5 of 30 examples are used, drawn by the seed",
    ]


def test_a_limit_that_leaves_one_label(files):
    assert issue(files, limit_train=1).startswith(
        "data.limit_train: the 1 training examples kept all have the label '"
    )


def test_test_rows_without_labels_are_left_aside_and_told(files, tmp_path):
    test = write(tmp_path / "test.csv", [("a text", -1), ("b text", -1)])
    found = load(files, test=test)
    assert found.test is None
    assert found.notes == [f"{test}: no labels, so it is not used as test"]
    bare = write(tmp_path / "bare.csv", [("a text",), ("b text",)], header=("text",))
    assert load(files, test=bare).test is None


def test_a_named_label_without_training_rows_is_told(files):
    found = load(files, NAMED)
    assert found.labels == ("no", "yes", "perhaps")
    assert found.notes == [f"{files.train}: no example has the label 'perhaps'"]


@pytest.mark.parametrize("role", ["validation", "test"])
def test_label_unseen_in_training(files, tmp_path, role):
    path = write(tmp_path / "other.csv", [*rows(3), ("text", "perhaps")])
    assert issue(files, **{role: path}) == (
        f"{path}:5: the label 'perhaps' is unknown; labels are 'no', 'yes'"
    )
    declared = load(files, NAMED, **{role: path})
    assert getattr(declared, role).labels[-1] == 2


def test_texts_that_say_nothing_are_counted(files, tmp_path):
    path = tmp_path / "train.jsonl"
    values = ["fine", "", None, " "]
    path.write_text("\n".join(json.dumps({"text": text, "label": 0}) for text in values))
    assert issue(files, train=str(path)) == (
        f"{path}:2: column 'text' is empty (and 2 more rows); every row needs a text, so fix or "
        "remove it"
    )


@pytest.mark.realdata
def test_sst2_is_read_whole(real_data):
    folder = real_data / "glue_sst2"
    data = DataConfig(
        source="files",
        train=str(folder / "train.jsonl.gz"),
        validation=str(folder / "dev.jsonl.gz"),
        test=str(folder / "test_unlabelled.jsonl.gz"),
        columns=Columns(text="sentence"),
    )
    task = ClassificationTask(kind="classification", labels=["negative", "positive"])
    found = load(data, task)
    assert (len(found.train), len(found.validation), found.test) == (67_349, 872, None)
    assert [found.train.labels.count(label) for label in (0, 1)] == [29_780, 37_569]
    assert [found.validation.labels.count(label) for label in (0, 1)] == [428, 444]
    assert found.validation.texts[0] == "it 's a charming and often affecting journey . "
    assert found.validation.labels[0] == 1
