"""What is laid over a recipe: a file over its base, and settings: ``stages.prediction.epochs=1``.

A list's items are addressed by their name (a stage's ``name``), by their kind where only one has
it, or by their number from 0. An item set to nothing is removed
(``stages.intermediate.objectives.attention=null``); ``+`` adds one at the end
(``stages.intermediate.objectives.+={kind: cosine}``) and ``+NAME`` before the item of that name
(``stages.+prediction={kind: distill, ...}``). Other values than numbers, ``true``, ``false``,
``null``, quoted text and what stands in brackets are the text as written:
``data.columns.text=text #1``.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from distill.recipe import catalog
from distill.recipe.yaml_lines import Loc, Place, Value, one_line, parse, read
from distill.system.errors import Issue, RecipeError, nearest

_BRACKETS = tuple("[{\"'")
#: What YAML takes for a tag, an anchor, an alias or a comment.
_MARKS = "!&*#"
_ADD = "+"


class _AddressError(Exception):
    """An override that names nothing; its text says what there is."""


def apply_overrides(tree: Value, overrides: Sequence[str]) -> list[Issue]:
    """Lay ``overrides`` over ``tree``, in order and in place; what cannot be is returned.

    Args:
        tree: a recipe; it is changed.
        overrides: ``key.sub=value`` each. Numbers, ``true``, ``false``, ``null``, quoted text and
            what stands in ``[]`` or ``{}`` are read as YAML; anything else is the text as written,
            with its ``#``, ``: `` and blanks.
    """
    give_way(tree, {override.partition("=")[0] for override in overrides})
    issues: list[Issue] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        key = one_line(key, 200)
        if not equals or not key:
            message = f"'{one_line(override)}' is not KEY=VALUE, such as student.size=3x384"
            issues.append(Issue(None, None, "", message))
            continue
        place = Place(None, None, key)
        try:
            issues += apply_setting(tree, key, _value(text, place))
        except RecipeError as error:
            issues.extend(error.issues)
    return issues


def give_way(tree: Value, keys: Set[str]) -> None:
    """Take out of ``tree``, in place, what stands in the way of keys that are laid over it.

    ``seed`` and ``seeds`` say the same thing in two ways: the later one counts. Both at once stay,
    and are an error.
    """
    if not isinstance(tree.content, dict):
        return
    for new, old in (("seed", "seeds"), ("seeds", "seed")):
        if new in keys and old not in keys:
            tree.content.pop(old, None)


def _value(text: str, place: Place) -> Value:
    """A value as YAML where the whole of it is a scalar or stands in brackets; else the text."""
    opened = text.lstrip()[:1]
    if opened and opened in _MARKS:
        return Value(text, place)
    try:
        value = parse(text, None, place, whole=True)
    except RecipeError as error:
        if opened in _BRACKETS:
            raise RecipeError(
                [Issue(None, None, place.key, issue.message) for issue in error.issues]
            ) from None
        return Value(text, place)  # a path such as *.csv or @x, or 'text #1'
    if value is None:
        return Value(None, place)
    listed = isinstance(value.content, dict | list)
    if opened not in _BRACKETS and (listed or isinstance(value.content, str)):
        return Value(text, place)  # `a: b`, `- x`, and blanks at the ends
    return value


def apply_setting(tree: Value, key: str, value: Value) -> list[Issue]:
    """Lay one setting over ``tree``, in place; what cannot be is returned."""
    place = value.place
    try:
        _put(tree, key.split("."), value, place)
    except _AddressError as error:
        return [Issue(place.path, place.line, one_line(key, 200), str(error))]
    return []


def _put(tree: Value, steps: list[str], value: Value, place: Place) -> None:
    if not all(steps):
        raise _AddressError("an empty name between the dots")
    at = tree
    loc: Loc = ()
    rest = steps
    while True:
        if isinstance(at.content, list) and rest[0].startswith(_ADD):
            _insert(at, rest, _placed(value, replace(place, depth=len(loc) + 1)))
            return
        step, rest = _step(at, rest)
        loc = (*loc, step)
        if not rest:
            break
        below = at.child(step)
        if below is None or not isinstance(below.content, dict | list):
            # `baseline.epochs=1` over `baseline: true`: the section begins here.
            below = Value({}, replace(place, depth=len(loc)))
            _set(at, step, below)
        at = below
    if value.content is None and isinstance(at.content, list) and isinstance(step, int):
        del at.content[step]
        if not at.content:  # then this setting is named in the error
            at.place = replace(place, depth=len(loc) - 1)
        return
    _set(at, step, _placed(value, replace(place, depth=len(loc))))


def _insert(at: Value, steps: list[str], value: Value) -> None:
    """Add an item to a list: ``+`` at its end, ``+NAME`` before the item of that name."""
    items: Any = at.content
    before = [steps[0].removeprefix(_ADD), *steps[1:]]
    if before == [""]:
        items.append(value)
        return
    step, rest = _step(at, before)
    if rest:
        raise _AddressError(f"an item is added whole; leave '.{'.'.join(rest)}' out")
    items.insert(step, value)


def _placed(value: Value, place: Place) -> Value:
    # From a file every part has a line of its own.
    return value if place.path is not None else value.mapped(lambda content: content, place)


def _set(at: Value, step: str | int, value: Value) -> None:
    container: Any = at.content  # a mapping with a key, or a list with a number: see _step
    container[step] = value


def _step(at: Value, steps: list[str]) -> tuple[str | int, list[str]]:
    """The next step below ``at`` and the steps after it."""
    if not isinstance(at.content, list):
        return steps[0], steps[1:]
    # A stage's name may hold dots: the longest one that fits is meant.
    for count in range(len(steps), 0, -1):
        named = [n for n, item in enumerate(at.content) if _name(item) == ".".join(steps[:count])]
        if len(named) == 1:
            return named[0], steps[count:]
    step, rest = steps[0], steps[1:]
    kinds = [n for n, item in enumerate(at.content) if _text(item, "kind") == step]
    if len(kinds) == 1:
        return kinds[0], rest
    if step.isdecimal() and int(step) < len(at.content):
        return int(step), rest
    raise _AddressError(_nothing(at.content, step, kinds))


def _nothing(items: list[Value], step: str, kinds: list[int]) -> str:
    known = [_name(item) or _text(item, "kind") or str(n) for n, item in enumerate(items)]
    if kinds:
        several = ", ".join(known[n] for n in kinds)
        return f"several are of kind '{step}' ({several}); name one, or give its number from 0"
    hint = nearest(step, known) or ";"
    return f"nothing here is called '{one_line(step)}'{hint} there are: {', '.join(known)}"


def _name(item: Value) -> str | None:
    """A stage's name; the kind where a stage leaves its name out, as the schema's defaults do."""
    return _text(item, "name") or _text(item, "kind")


def _text(item: Value, key: str) -> str | None:
    below = item.child(key)
    return below.content if below is not None and isinstance(below.content, str) else None


def merge(below: Value, above: Value) -> Value:
    """``above`` laid over ``below``: mappings merge key by key, everything else replaces."""
    if not (isinstance(below.content, dict) and isinstance(above.content, dict)):
        return above
    merged = dict(below.content)
    for key, value in above.content.items():
        merged[key] = merge(merged[key], value) if key in merged else value
    return Value(merged, above.place)


def read_tree(path: Path, above: tuple[Path, ...] = ()) -> Value:
    """Read a recipe with its bases merged below it.

    ``base:`` is a path relative to the file it stands in, or the name of a built-in recipe.
    ``set:`` beside it holds dotted settings (``stages.intermediate.epochs: 50``) for what merging
    does not reach, as lists are replaced whole; they come last. ``above`` are the files that this
    one is a base of.

    Raises:
        RecipeError: a file cannot be read, the bases go round in a circle, or a setting names
            nothing.
    """
    tree = read(path)
    base, settings = tree.child("base"), tree.child("set")
    if base is None:
        if settings is not None:
            message = "lays settings over a base, and there is none; write them where they belong"
            raise tree.error("set", message)
        return tree
    chain = (*above, path.resolve())
    lower = read_tree(_base_file(tree, base.content, path, chain), chain)
    content: Any = tree.content
    own = {key: value for key, value in content.items() if key not in ("base", "set")}
    give_way(lower, own.keys())
    merged = merge(lower, Value(own, tree.place))
    if settings is None:
        return merged
    if not isinstance(settings.content, dict):
        message = "expected dotted keys and values, such as stages.prediction.epochs: 1"
        raise tree.error("set", message)
    give_way(merged, settings.content.keys())
    put = settings.content.items()
    if issues := [issue for key, value in put for issue in apply_setting(merged, key, value)]:
        raise RecipeError(issues)
    return merged


def _base_file(tree: Value, base: Any, path: Path, chain: tuple[Path, ...]) -> Path:
    if not isinstance(base, str) or not base:
        raise tree.error("base", "expected the path of a recipe, relative to this file")
    try:
        below = recipe_file(path, base)
        if below.resolve() in chain:
            circle = " -> ".join([*(link.name for link in chain), below.name])
            raise tree.error("base", f"bases go round in a circle: {circle}")
        if not below.is_file():
            raise tree.error("base", f"no such file: {one_line(str(below), 200)}")
    except (OSError, ValueError):
        raise tree.error("base", f"'{one_line(base)}' is not a path") from None
    return below


def recipe_file(path: Path, base: str) -> Path:
    """What a file names: a built-in recipe, or a path relative to that file."""
    if Path(base).suffix not in (".yaml", ".yml") and base in catalog.names():
        return catalog.find(base)
    return path.parent / Path(base).expanduser()
