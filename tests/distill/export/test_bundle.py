import hashlib
import json

import pytest

from distill.export.bundle import add_numbers, write_bundle
from distill.runtime.manifest import read_manifest
from distill.system.errors import ModelError

INFO = {
    "name": "tiny",
    "task": "classification",
    "labels": ["no", "yes"],
    "pair": False,
    "max_length": 32,
}


@pytest.fixture
def parts(tmp_path):
    """A folder such as transformers writes, and two files that stand for ONNX models."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer_config.json", "pruned.py"):
        (folder / name).write_text(name)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer_config.json").write_text('{"pad_token": "[PAD]"}')
    tokens = [{"id": 1, "content": "[UNK]"}, {"id": 7, "content": "[PAD]"}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    onnx = {"onnx": tmp_path / "a.onnx", "onnx-int8": tmp_path / "b.onnx"}
    onnx["onnx"].write_bytes(b"plain model")
    onnx["onnx-int8"].write_bytes(b"small")
    return folder, onnx


def write(tmp_path, parts, **changes):
    folder, onnx = parts
    given = {
        "transformers_folder": folder,
        "tokenizer_folder": folder,
        "models": onnx,
        "info": INFO,
        **changes,
    }
    write_bundle(tmp_path / "bundle", **given)
    return tmp_path / "bundle"


def names(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_the_files_and_what_is_said_of_them(tmp_path, parts):
    bundle = write(tmp_path, parts)
    assert names(bundle) == [
        "config.json",
        "distill.json",
        "model.safetensors",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
        "pruned.py",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    said = json.loads((bundle / "distill.json").read_text())
    assert said["schema"] == 1
    assert {key: said[key] for key in INFO} == INFO
    assert said["pad_id"] == 7
    assert said["default"] == "onnx-int8"
    assert said["numbers"] == {}
    assert said["formats"]["onnx"] == {
        "file": "onnx/model.onnx",
        "bytes": 11,
        "sha256": hashlib.sha256(b"plain model").hexdigest(),
    }
    assert list(said["formats"]) == ["transformers", "onnx", "onnx-int8"]
    read_manifest(bundle).verify()


def test_what_is_missing_is_told_and_nothing_is_written(tmp_path, parts):
    folder, onnx = parts
    with pytest.raises(ModelError, match="no format to put into the bundle"):
        write(tmp_path, parts, transformers_folder=None, models={})
    with pytest.raises(ModelError, match="unknown format 'tflite'; known are transformers, onnx"):
        write(tmp_path, parts, models={"tflite": onnx["onnx"]})
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors: missing"):
        write(tmp_path, parts)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        write(tmp_path, parts)
    assert not (tmp_path / "bundle").exists()
    assert names(tmp_path) == [
        "a.onnx",
        "b.onnx",
        "model/config.json",
        "model/pruned.py",
        "model/tokenizer_config.json",
    ]


def test_numbers_are_added_later(tmp_path, parts):
    bundle = write(tmp_path, parts)
    add_numbers(bundle, {"onnx": {"score": 0.5}})
    add_numbers(bundle, {"onnx-int8": {"score": 0.4}, "onnx": {"score": 0.6}})
    found = read_manifest(bundle).numbers
    assert found == {"onnx": {"score": 0.6}, "onnx-int8": {"score": 0.4}}
    with pytest.raises(ModelError, match="not a bundle"):
        add_numbers(tmp_path, {})
