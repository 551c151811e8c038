"""A recipe and what it is based on, merged into one tree that keeps every line's origin."""

from __future__ import annotations

from pathlib import Path

from distill.recipe import catalog
from distill.recipe.overrides import apply_setting, give_way
from distill.recipe.yaml_lines import Value, one_line, read
from distill.system.errors import Fault, RecipeError


def merge(below: Value, above: Value) -> Value:
    """``above`` laid over ``below``: mappings merge key by key, everything else replaces."""
    if not (isinstance(below.content, dict) and isinstance(above.content, dict)):
        return above
    merged = dict(below.content)
    for key, value in above.content.items():
        merged[key] = merge(merged[key], value) if key in merged else value
    return Value(merged, above.place)


def read_tree(path: Path) -> Value:
    """Read a recipe with its bases merged below it.

    ``base:`` is a path relative to the file it stands in, or the name of a recipe that comes along.
    ``set:`` beside it holds dotted settings (``stages.intermediate.epochs: 50``) for what merging
    does not reach, as lists are replaced whole; they come last.

    Raises:
        RecipeError: a file cannot be read, the bases go round in a circle, or a setting names
            nothing.
    """
    return _read_tree(path, ())


def _read_tree(path: Path, above: tuple[Path, ...]) -> Value:
    tree = read(path)
    content = tree.content
    if not isinstance(content, dict):
        return tree
    base, settings = content.pop("base", None), content.pop("set", None)
    if base is None:
        if settings is not None:
            message = "lays settings over a base, and there is none; write them where they belong"
            raise RecipeError([Fault(path, settings.place.line, "set", message)])
        return tree
    if not isinstance(base.content, str) or not base.content:
        message = "expected the path of a recipe, relative to this file"
        raise RecipeError([Fault(path, base.place.line, "base", message)])
    chain = (*above, path.resolve())
    try:
        below = recipe_file(path, base.content)
        if below.resolve() in chain:
            round_trip = " -> ".join([*(link.name for link in chain), below.name])
            message = f"bases go round in a circle: {round_trip}"
            raise RecipeError([Fault(path, base.place.line, "base", message)])
        if not below.is_file():
            message = f"no such file: {one_line(str(below), 200)}"
            raise RecipeError([Fault(path, base.place.line, "base", message)])
    except (OSError, ValueError):
        message = f"'{one_line(base.content)}' is not a path"
        raise RecipeError([Fault(path, base.place.line, "base", message)]) from None
    lower = _read_tree(below, chain)
    give_way(lower, content.keys())
    merged = merge(lower, tree)
    if settings is not None:
        _apply(settings, merged, path)
    return merged


def _apply(settings: Value, tree: Value, path: Path) -> None:
    if not isinstance(settings.content, dict):
        message = "expected dotted keys and values, such as stages.prediction.epochs: 1"
        raise RecipeError([Fault(path, settings.place.line, "set", message)])
    give_way(tree, settings.content.keys())
    faults = [
        fault
        for key, value in settings.content.items()
        for fault in apply_setting(tree, key, value)
    ]
    if faults:
        raise RecipeError(faults)


def recipe_file(path: Path, base: str) -> Path:
    """What a file names: a recipe that comes along, or a path relative to that file."""
    if Path(base).suffix not in (".yaml", ".yml") and base in catalog.names():
        return catalog.find(base)
    return path.parent / Path(base).expanduser()
