"""The recipes that come along, found by name."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from distill.errors import Fault, RecipeError, quoted
from distill.recipe.yaml_lines import one_line

_SUFFIXES = (".yaml", ".yml")
#: Where, among the recipes, the ablations lie.
_ABLATIONS = "ablation"


@cache
def folder() -> Path:
    """The folder of the recipes that come along."""
    spec = find_spec("recipes")
    locations = list(spec.submodule_search_locations or []) if spec else []
    if not locations:
        raise FileNotFoundError("the package 'recipes' is not installed")
    return Path(locations[0])


def names() -> list[str]:
    """Names of the recipes, sorted; parts of recipes (below ``_base``) are not among them."""
    root = folder()
    return [name for name in _names(root) if not name.startswith(f"{_ABLATIONS}/")]


def ablations() -> list[str]:
    """Names of the ablations that come along, sorted."""
    return _names(folder() / _ABLATIONS)


def _names(root: Path) -> list[str]:
    found = (path.relative_to(root).with_suffix("") for path in root.rglob("*.yaml"))
    return sorted(path.as_posix() for path in found if not any(p[0] in "_." for p in path.parts))


def find(source: str | Path) -> Path:
    """The file of a recipe: a path, or the name of one that comes along.

    What ends in ``.yaml`` or is an existing file is a path; anything else is a name.

    Raises:
        RecipeError: there is no recipe of that name.
    """
    if source in ablations() and source not in names() and not Path(source).is_file():
        message = (
            f"an ablation and no recipe; look at it with: distill ablate {quoted(source)} --plan"
        )
        raise RecipeError([Fault(Path(source), None, "", message)])
    return _find(source, names(), folder(), "recipe")


def find_ablation(source: str | Path) -> Path:
    """The file of an ablation: a path, or the name of one that comes along.

    Raises:
        RecipeError: there is no ablation of that name.
    """
    return _find(source, ablations(), folder() / _ABLATIONS, "ablation")


def _find(source: str | Path, known: list[str], root: Path, what: str) -> Path:
    path = Path(source)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long, a null byte
        is_file = False
    if isinstance(source, Path) or path.suffix in _SUFFIXES or is_file:
        return path
    if source in known:
        return root / f"{source}.yaml"
    near = difflib.get_close_matches(source, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    message = f"no {what} of this name; {hint}`distill ls` lists them, a path ends in .yaml"
    raise RecipeError([Fault(Path(one_line(source) or "''"), None, "", message)])
