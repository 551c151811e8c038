"""The space of a search: from a tuner's values to settings of a recipe, each with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from distill.recipe.schema import Search
from distill.recipe.yaml_lines import Loc, Value, one_line

#: A value for each setting of the space; that of a choice is its number in the list.
Values = Mapping[str, Any]


def settings_of(search: Search, tree: Value, values: Values) -> dict[str, Value]:
    """The settings that values stand for, without those whose ``when`` is not met.

    ``tree`` is the file's ``search`` section, whose lines errors name.
    """
    if search.candidates:
        written = tree.nearest(("candidates", values["candidate"], "set"))
        keys = search.candidates[values["candidate"]].set
        return {key: written.child(key) or written for key in keys}
    found: dict[str, Value] = {}
    for key, space in search.space.items():
        if key not in values:
            continue
        written = tree.nearest(("space", key))
        if space.choice is None:
            found[key] = Value(values[key], written.place)
        else:
            found[key] = (written.child("choice") or written).nearest((values[key],))
    for key in values.keys() & search.budget.keys():
        found[key] = Value(values[key], tree.nearest(("budget", key)).place)
    plain = {key: value.plain() for key, value in found.items()}

    def active(key: str) -> bool:
        conditions = search.space[key].when if key in search.space else {}
        return all(o in plain and plain[o] == v and active(o) for o, v in conditions.items())

    return {key: value for key, value in found.items() if active(key)}


def title_of(settings: Mapping[str, Value]) -> str:
    """Settings in a few words: ``lr 0.00012, size 3x384``."""
    return ", ".join(f"{key.split('.')[-1]} {_short(v.plain())}" for key, v in settings.items())


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if value is None:
        return "none"
    return one_line(str(value), 30)


def misplaced(search: Search) -> Iterator[tuple[Loc, str]]:
    """Conditions that name no setting of the space, a later one, or a value that it never has."""
    earlier: list[str] = []
    for key, space in search.space.items():
        for other, value in space.when.items():
            loc: Loc = ("space", key, "when", other)
            if other not in earlier:
                known = f"there are: {', '.join(earlier)}" if earlier else "there is none"
                yield loc, f"'{one_line(other)}' is no setting of the space before this; {known}"
            elif value not in (search.space[other].choice or []):
                yield loc, f"'{one_line(other)}' never has the value {value!r} of its choices"
        earlier.append(key)


def probes(search: Search) -> Iterator[dict[str, Any]]:
    """Values that reach every choice and both ends of every interval, one setting at a time.

    A recipe that any of them makes impossible is found before the first trial.
    """
    yield from ({"candidate": name} for name in search.candidates)
    for key, space in search.space.items():
        needed: dict[str, Any] = {}
        _need(search, key, needed)
        ends = getattr(space, space.kind)[:2]
        for value in ends if space.choice is None else range(len(space.choice)):
            yield needed | {key: space.typed(value)}
    for key, ends in search.budget.items():
        yield from ({key: value} for value in ends)


def _need(search: Search, key: str, needed: dict[str, Any]) -> None:
    """Add the values under which a setting is active."""
    for other, value in search.space[key].when.items():
        needed[other] = (search.space[other].choice or []).index(value)
        _need(search, other, needed)
