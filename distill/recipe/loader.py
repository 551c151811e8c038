"""A recipe from a name or a file, with overrides: every issue at once, each with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from distill.recipe import catalog
from distill.recipe.checks import check
from distill.recipe.issues import translate
from distill.recipe.overrides import apply_overrides, read_tree
from distill.recipe.schema import Recipe
from distill.recipe.yaml_lines import RESOLVERS, Value
from distill.section import Section
from distill.system.errors import RecipeError, quoted

#: Ends of a line for YAML, which its writer does not escape outside double quotes.
_LINE_ENDS = ("\x85", "\u2028", "\u2029")


def read_recipe(source: str | Path, *overrides: str) -> tuple[Recipe, Value]:
    """Like :func:`load_recipe`, with the lines kept for further messages."""
    path = catalog.find(source)
    tree = read_tree(path)
    if tree.child("study") is not None:
        message = f"a study and no recipe; look at it with: distill plan {quoted(path)}"
        raise tree.error("study", message)
    issues = apply_overrides(tree, overrides)
    try:
        recipe = Recipe.model_validate(tree.plain())
    except ValidationError as error:
        issues += translate(error, tree)
    else:
        issues += [tree.issue(loc, message) for loc, message in check(recipe)]
    if issues:
        raise RecipeError(list(dict.fromkeys(issues)))
    return recipe, tree


def load_recipe(source: str | Path, *overrides: str) -> Recipe:
    """Read, merge and check a recipe; nothing that it names is imported or run.

    Args:
        source: the name of a built-in recipe (``distill ls``), or a path.
        overrides: ``key.sub=value`` each, laid over the recipe in order. Stages are addressed by
            name (``stages.prediction.epochs=1``), objectives by kind.

    Raises:
        RecipeError: with every issue at once, one line each: file, line, key, what was found and
            what is expected.

    Example:
        >>> load_recipe("quickstart", "student.size=3x384").student.size
        '3x384'
    """
    return read_recipe(source, *overrides)[0]


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values with every default filled in.

    What is ``None`` because it was left out is left out, and ``seed`` where ``seeds`` stand
    in its place.
    """
    plain = _section(recipe)
    return {k: v for k, v in plain.items() if k != "seed"} if recipe.seeds is not None else plain


def _section(section: Section) -> dict[str, Any]:
    written = {
        field.alias or name: _value(getattr(section, name))
        for name, field in type(section).model_fields.items()
        if getattr(section, name) is not None or field.default not in (None, PydanticUndefined)
    }
    # What a section is comes first, although inheritance puts it behind.
    first = [] if "recipe" in written else [key for key in ("kind", "name") if key in written]
    return {key: written[key] for key in [*first, *(k for k in written if k not in first)]}


def _value(value: Any) -> Any:
    if isinstance(value, Section):
        return _section(value)
    return [_value(item) for item in value] if isinstance(value, list) else value


class _Writer(yaml.SafeDumper):
    """Quotes whatever our reader, or any other YAML reader, would take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(writer: _Writer, value: str) -> yaml.ScalarNode:
    """A text; one with a rarer end of a line in double quotes, as others would change it."""
    style = '"' if any(end in value for end in _LINE_ENDS) else None
    return writer.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Writer.add_representer(str, _text)
for _tag, _pattern, _first in RESOLVERS:
    _Writer.add_implicit_resolver(_tag, _pattern, _first)


def resolved_yaml(recipe: Recipe) -> str:
    """The recipe as YAML with every default filled in; reading it gives the same recipe."""
    return yaml.dump(
        resolved(recipe),
        Dumper=_Writer,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )
