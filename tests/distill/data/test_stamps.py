"""Cache folders: filled once, checked whenever they are opened, and made anew where they differ."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from distill.atomic import write_json
from distill.data.stamps import cached_folder, fault, stamp
from distill.errors import DataError

KEY = "k" * 64


@pytest.fixture
def filled(tmp_path, monkeypatch):
    monkeypatch.setenv("DISTILL_CACHE", str(tmp_path / "cache"))
    calls = []

    def fill(new: Path) -> None:
        calls.append(new)
        (new / "ids").write_bytes(b"1234")
        write_json(new / "facts.json", {"key": KEY, "files": stamp(new, ["ids"])})

    def ask(fill=fill) -> Path:
        return cached_folder("tokens", KEY, facts="facts.json", holds="tokens", name="a", fill=fill)

    ask.calls = calls
    return ask


def test_what_is_whole_is_not_made_again(filled):
    folder = filled()
    assert filled() == folder
    assert (folder.parent.name, folder.name) == ("tokens", KEY[:32])
    assert len(filled.calls) == 1
    assert fault(folder, KEY, facts="facts.json") is None


def test_what_is_damaged_is_made_anew_and_told(filled, caplog):
    folder = filled()
    (folder / "ids").write_bytes(b"1243")
    with caplog.at_level("INFO", logger="distill"):
        filled()
    assert (folder / "ids").read_bytes() == b"1234"
    assert caplog.messages == [f"a: cached tokens in {folder} are damaged (ids); made anew"]


def test_a_cache_that_cannot_be_written_is_one_line_and_leaves_nothing(filled):
    def full(_new: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DataError, match=r"cannot write tokens to the cache .*; free some space"):
        filled(full)
    folder = filled()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_another_process_may_have_been_there_first(filled):
    def late(_new: Path) -> None:
        filled()
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    assert fault(filled(late), KEY, facts="facts.json") is None
