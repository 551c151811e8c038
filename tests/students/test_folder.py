"""What a model folder must hold."""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertForTokenClassification
from transformers.utils import logging as transformers_logging

from distill.system.errors import ModelError
from students.folder import check_folder, loading
from teachers.load import load_model


def test_a_whole_folder_is_given_back(tiny_bert) -> None:
    folder = tiny_bert()
    assert check_folder(folder) == folder


def test_missing_parts_are_told(tiny_bert, tmp_path) -> None:
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        check_folder(tmp_path / "nowhere")
    folder = tiny_bert()
    with pytest.raises(ModelError, match="is a file; give the folder"):
        check_folder(folder / "config.json")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no weights \(\*\.safetensors\)"):
        check_folder(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        check_folder(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="not a JSON mapping"):
        check_folder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pkl"])
def test_pickles_are_refused(tiny_bert, name) -> None:
    folder = tiny_bert()
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ModelError, match=f"{name} is a pickle.*convert it: python -c ") as caught:
        check_folder(folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=f"{name} is a pickle"):
        check_folder(folder / name)


def test_the_advice_converts_a_pickle_with_its_head(tiny_bert, tmp_path) -> None:
    made = BertForTokenClassification
    model = made.from_pretrained(tiny_bert())
    folder = tmp_path / "it's a model"
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        check_folder(folder)
    words = shlex.split(str(caught.value).partition("convert it: ")[2])
    subprocess.run([sys.executable, *words[1:]], check=True)
    again = load_model(folder)
    assert type(again) is made
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight)


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]
)
def test_a_pointer_of_git_lfs_is_named(tiny_bert, name) -> None:
    folder = tiny_bert()
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    with pytest.raises(ModelError, match=rf"{name}: a pointer of Git LFS.* git lfs pull"):
        load_model(folder)


def test_a_pickle_beside_safetensors_is_no_issue(tiny_bert) -> None:
    folder = tiny_bert()
    (folder / "training_args.bin").write_bytes(b"x")
    assert check_folder(folder) == folder


def test_loading_is_quiet_tells_failures_in_one_line_and_restores_transformers() -> None:
    verbosity, seen = transformers_logging.get_verbosity(), []

    def fail() -> None:
        with loading("some/name"):
            seen.append(transformers_logging.get_verbosity())
            seen.append(transformers_logging.is_progress_bar_enabled())
            raise OSError("first\nsecond")

    with pytest.raises(ModelError, match=r"^some/name cannot be loaded: first; check the name"):
        fail()
    assert seen == [logging.ERROR, False]
    assert transformers_logging.get_verbosity() == verbosity
    assert transformers_logging.is_progress_bar_enabled()
