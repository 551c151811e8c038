import logging
import os
import subprocess
import sys

import pytest

from distill.recipe.schema import Columns, DataConfig
from distill.system.errors import DataError
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.load import load_task_data

TASK = ClassificationTask(kind="classification")


@pytest.fixture
def hub_folder(tmp_path):
    """A data set as the hub has them: split files in a folder, which load_dataset takes too."""
    folder = tmp_path / "reviews"
    folder.mkdir()
    rows = {
        "train": [("a good film", 1), ("a bad film", 0), ("the best of all", 1)],
        "validation": [("a dull plot", 0)],
        "test": [("who knows", -1), ("nobody does", -1)],
    }
    for split, pairs in rows.items():
        lines = "".join(f"{text},{label}\n" for text, label in pairs)
        (folder / f"{split}.csv").write_text(f"sentence,label\n{lines}")
    return folder


def config(path, **changes):
    return DataConfig(source="hub", path=str(path), columns=Columns(text="sentence"), **changes)


def test_usual_splits_are_found_and_an_unlabelled_test_is_left_aside(hub_folder):
    found = load_task_data(config(hub_folder), TASK, seed=0)
    assert found.train.texts == ["a good film", "a bad film", "the best of all"]
    assert found.train.labels == [1, 0, 1]
    assert found.validation.labels == [0]
    assert found.labels == ("0", "1")
    assert found.test is None
    assert found.notes == [f"{hub_folder}:test: no labels, so it is not used as test"]


def test_splits_can_be_named(hub_folder):
    data = config(hub_folder, train="train", validation="train", test="validation")
    found = load_task_data(data, TASK, seed=0)
    assert found.validation.texts == found.train.texts
    assert found.test is not None
    assert found.test.texts == ["a dull plot"]


def test_missing_split_lists_those_that_are_there(hub_folder):
    with pytest.raises(DataError) as error:
        load_task_data(config(hub_folder, validation="validatoin"), TASK, seed=0)
    assert str(error.value) == (
        f"data.validation: {hub_folder} has no split 'validatoin'; splits are 'train', "
        "'validation', 'test'; did you mean 'validation'?"
    )


def test_unreachable_hub_is_one_line_that_offers_files(caplog):
    with caplog.at_level(logging.INFO, logger="distill"), pytest.raises(DataError) as error:
        load_task_data(config("nyu-mll/glue", subset="sst2"), TASK, seed=0)
    assert str(error.value) == (
        "data.path: the hub cannot be reached for 'nyu-mll/glue'; try again with a network, or "
        "copy the rows to files and set data.source=files data.train=PATH"
    )
    assert caplog.messages == ["asking the hub for 'nyu-mll/glue'"]


def test_broken_data_set_is_one_line(hub_folder):
    (hub_folder / "train.csv").write_bytes(b"sentence,label\n\xff\xfe,1\n")
    with pytest.raises(DataError) as error:
        load_task_data(config(hub_folder), TASK, seed=0)
    message = str(error.value)
    assert message.startswith(f"data.path: {hub_folder}: ")
    assert "\n" not in message


def test_without_a_network_the_hub_is_not_asked_for_a_minute():
    code = (
        "import time; from distill.data.sources.columnar import load_splits\n"
        "from distill.system.errors import DataError\n"
        "from distill.recipe.schema import DataConfig\n"
        "import datasets; start = time.monotonic()\n"
        "try: load_splits(DataConfig(source='hub', path='some/data'))\n"
        "except DataError as error: print(error, round(time.monotonic() - start), sep='\\n')"
    )
    # Nothing listens there.
    online = {
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | online,
        check=True,
        capture_output=True,
        text=True,
    )
    told, seconds = done.stdout.splitlines()
    assert "the hub cannot be reached for 'some/data'" in told
    assert int(seconds) < 12
