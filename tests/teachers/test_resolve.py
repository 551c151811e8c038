"""Where a model is: a folder, or the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.errors import ModelError
from teachers.resolve import resolve_model


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
