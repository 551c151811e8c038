from __future__ import annotations

from pathlib import Path

import pytest

from distill.recipe import catalog
from distill.system.errors import RecipeError


def test_names_are_recipes_and_not_their_parts() -> None:
    names = catalog.names()
    assert {"quickstart", "sst2", "mrpc"} <= set(names)
    assert names == sorted(names)
    assert not any("_base" in name for name in names)


def test_a_name_is_found_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert catalog.find("quickstart").is_file()


def test_a_path_is_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    (tmp_path / "plain").write_text("")
    assert catalog.find("a/b.yaml") == Path("a/b.yaml")
    assert catalog.find("plain") == Path("plain")
    assert catalog.find(tmp_path) == tmp_path
    assert catalog.find("quickstart").name == "quickstart.yaml"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quikstart", "quikstart: no recipe of this name; did you mean 'quickstart'?"),
        ("zzz", "zzz: no recipe of this name; `distill ls` lists them"),
        ("_base/glue", "no recipe of this name"),
        ("", "'': no recipe"),
        ("a\0b", "a?b: no recipe"),
        ("x" * 5000, "no recipe of this name"),
    ],
)
def test_unknown_names(name: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        catalog.find(name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
