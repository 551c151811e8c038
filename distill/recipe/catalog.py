"""The built-in recipes and studies, found by name."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from distill.recipe.yaml_lines import one_line
from distill.system.errors import Issue, RecipeError, nearest

_SUFFIXES = (".yaml", ".yml")


@cache
def folder() -> Path:
    """The folder of the built-in recipes."""
    spec = find_spec("recipes")
    locations = list(spec.submodule_search_locations or []) if spec else []
    if not locations:
        raise FileNotFoundError("the package 'recipes' is not installed")
    return Path(locations[0])


def names() -> list[str]:
    """Names of recipes and studies, sorted; parts (such as those below ``_base``) are left out."""
    root = folder()
    found = (path.relative_to(root).with_suffix("") for path in root.rglob("*.yaml"))
    return sorted(path.as_posix() for path in found if not any(p[0] in "_." for p in path.parts))


def find(source: str | Path) -> Path:
    """The file of a recipe or study: a path, or the name of a built-in one.

    What ends in ``.yaml`` or is an existing file is a path; anything else is a name.

    Raises:
        RecipeError: there is none of that name.
    """
    path = Path(source)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long, a null byte
        is_file = False
    if isinstance(source, Path) or path.suffix in _SUFFIXES or is_file:
        return path
    known = names()
    if source in known:
        return folder() / f"{source}.yaml"
    hint = nearest(source, known) or ";"
    message = f"no recipe of this name{hint} `distill ls` lists them, a path ends in .yaml"
    raise RecipeError([Issue(Path(one_line(source) or "''"), None, "", message)])
