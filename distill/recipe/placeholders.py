"""Folders that a file leaves open as ``${NAME}``: where they stand, and what is put there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from distill.recipe.yaml_lines import Loc, Value

_FOLDER = re.compile(r"\$\{([^{}]*)\}")


def placeholders(loc: Loc, value: Value) -> Iterator[tuple[Loc, str]]:
    """The names that stand in a value, each with its place.

    Args:
        loc: the value's own place.
        value: what is looked through.
    """
    content = value.content
    if isinstance(content, dict):
        for key, below in content.items():
            yield from placeholders((*loc, key), below)
    elif isinstance(content, list):
        for index, item in enumerate(content):
            yield from placeholders((*loc, index), item)
    elif isinstance(content, str):
        for match in _FOLDER.finditer(content):
            yield loc, match[1]


def filled(value: Value, folders: Mapping[str, str]) -> Value:
    """A value with folders in the place of their names.

    Args:
        value: what is filled; it is not changed.
        folders: the folders by name; all that it names are there.
    """
    content = value.content
    if isinstance(content, dict):
        return Value({key: filled(below, folders) for key, below in content.items()}, value.place)
    if isinstance(content, list):
        return Value([filled(item, folders) for item in content], value.place)
    if isinstance(content, str):
        return Value(_FOLDER.sub(lambda m: folders[m[1]], content), value.place)
    return value
