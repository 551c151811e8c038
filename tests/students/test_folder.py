"""What a model folder must hold."""

from __future__ import annotations

import logging

import pytest
from transformers.utils import logging as transformers_logging

from distill.errors import ModelError
from students.folder import check_folder, loading


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
def test_pickles_are_refused_with_the_way_to_convert_them(tiny_bert, name) -> None:
    folder = tiny_bert()
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(ModelError, match=f"{name} is a pickle.*convert.*save_pretrained") as caught:
        check_folder(folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=f"{name} is a pickle"):
        check_folder(folder / name)


def test_a_pickle_beside_safetensors_is_no_fault(tiny_bert) -> None:
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
