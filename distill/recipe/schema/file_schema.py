"""The JSON schema of a recipe's file: a whole recipe, or a part of one that names its base."""

from __future__ import annotations

import copy
from typing import Any

from distill.recipe.schema.recipe import Recipe

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Keys of a file that are gone when its base is merged below it.
_ONLY_IN_FILES: dict[str, Any] = {
    "base": {
        "type": "string",
        "minLength": 1,
        "description": "What this file is laid over: a recipe's name, or a path relative to this "
        "file. Mappings merge, lists replace.",
    },
    "set": {
        "type": "object",
        "description": "Dotted settings that reach into the base's lists, such as "
        "``stages.intermediate.epochs: 50``; ``null`` removes an item.",
    },
}


def file_schema() -> dict[str, Any]:
    """What an editor checks a recipe's file against.

    A file without ``base`` is a whole recipe. With it, any key may be left out at the top and in
    the sections that merge; an item of a list is whole, as lists are replaced.
    """
    whole = Recipe.model_json_schema()
    definitions = whole.pop("$defs")
    part = copy.deepcopy(whole)
    part.pop("required")
    part["properties"] = _ONLY_IN_FILES | {
        key: _may_be_part(value, definitions) for key, value in part["properties"].items()
    }
    part["required"] = ["base"]
    return {
        "$schema": _DIALECT,
        "title": "Recipe",
        "if": {"type": "object", "required": ["base"]},
        "then": {"$ref": "#/$defs/RecipeWithBase"},
        "else": {"$ref": "#/$defs/Recipe"},
        "$defs": definitions | {"Recipe": whole, "RecipeWithBase": part},
    }


def _may_be_part(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A value of the recipe whose sections need not be whole."""
    if value.get("type") == "array":
        return value
    kinds = value.get("oneOf") or value.get("anyOf") or ([value] if "$ref" in value else [])
    if not kinds:
        return value
    parts = [_part_of(kind, definitions) for kind in kinds]
    said = {key: value[key] for key in ("description", "title", "default") if key in value}
    return said | {"anyOf": parts}


def _part_of(kind: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    name = str(kind.get("$ref", "")).rpartition("/")[2]
    if name not in definitions:
        return {key: value for key, value in kind.items() if key != "description"}
    return {key: value for key, value in definitions[name].items() if key != "required"}
