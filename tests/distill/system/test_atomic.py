import errno
import os

import pytest

from distill.system import atomic


def test_write_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "file.json"
    atomic.write_json(path, {"a": "é"})
    atomic.write_json(path, {"a": 2})
    assert path.read_text("utf-8") == '{\n  "a": 2\n}\n'
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic.write_text(path, "old")

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_new_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path):
    target = tmp_path / "bundle"
    for name in ("one", "two"):
        with atomic.new_folder(target) as folder:
            (folder / name).write_text(name)
            assert not (target / name).exists()
    assert [p.name for p in target.iterdir()] == ["two"]

    def fail(folder):
        (folder / "three").write_text("3")
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"), atomic.new_folder(target) as folder:
        fail(folder)
    assert [p.name for p in target.iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
