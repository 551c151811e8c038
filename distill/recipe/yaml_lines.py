"""YAML read with the line of every key, without surprises and without running anything.

Differences from PyYAML's ``safe_load``, each because a recipe would otherwise mean something else
than it says: ``5e-5`` is a number; only ``true`` and ``false`` are booleans (a label may be
``no``); only decimal digits are integers; dates stay text; a key that occurs twice, a tag, a merge
key and a number that is not finite are errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from distill.system.errors import Issue, RecipeError

Loc = tuple[str | int, ...]

_MOST_VALUES = 20_000
_TAG = "tag:yaml.org,2002:"


def _plain(pattern: str) -> re.Pattern[str]:
    # PyYAML asks `match`, which is satisfied by a beginning.
    return re.compile(rf"(?:{pattern})\Z", re.ASCII)


_FLOAT = (
    r"[-+]?(?:[0-9]+(?:_[0-9]+)*\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
#: YAML 1.2's plain scalars, plus ``_`` between digits: tag, pattern, first characters.
RESOLVERS: list[tuple[str, re.Pattern[str], list[str]]] = [
    (f"{_TAG}null", _plain("~|null|Null|NULL|"), ["~", "n", "N", ""]),
    (f"{_TAG}bool", _plain("true|True|TRUE|false|False|FALSE"), list("tTfF")),
    (f"{_TAG}int", _plain("[-+]?[0-9]+(?:_[0-9]+)*"), list("-+0123456789")),
    (f"{_TAG}float", _plain(_FLOAT), list("-+.0123456789")),
]


class _Reader(yaml.SafeLoader):
    """A SafeLoader whose plain scalars are :data:`RESOLVERS` and nothing else."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _name, _pattern, _first in RESOLVERS:
    _Reader.add_implicit_resolver(_name, _pattern, _first)


@dataclass(frozen=True)
class Place:
    """Where a value was written."""

    path: Path | None  # the file, or ``None`` for an override
    line: int | None  # its 1-based line, or ``None`` for an override
    key: str = ""  # the override's key as it was typed; empty for a file
    depth: int = 0  # length of the location that ``key`` stands for


@dataclass
class Value:
    """A value and where it was written."""

    # a mapping or list of values, or a plain scalar
    content: dict[str, Value] | list[Value] | str | int | float | bool | None
    place: Place  # of its key in a mapping, of itself in a list

    def plain(self) -> Any:
        """The value as dicts, lists and scalars."""
        if isinstance(self.content, dict):
            return {key: value.plain() for key, value in self.content.items()}
        if isinstance(self.content, list):
            return [value.plain() for value in self.content]
        return self.content

    def child(self, step: str | int) -> Value | None:
        """The value below ``step``, or ``None`` where there is none."""
        if isinstance(self.content, dict):
            return self.content.get(step) if isinstance(step, str) else None
        if isinstance(self.content, list) and isinstance(step, int):
            return self.content[step] if 0 <= step < len(self.content) else None
        return None

    def mapped(self, change: Callable[[Any], Any], place: Place | None = None) -> Value:
        """A copy with every plain scalar changed, and with one place for all where it is given."""
        content: Any = self.content
        if isinstance(content, dict):
            content = {key: below.mapped(change, place) for key, below in content.items()}
        elif isinstance(content, list):
            content = [below.mapped(change, place) for below in content]
        else:
            content = change(content)
        return Value(content, place or self.place)

    def texts(self, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
        """Every text in the value, with its location."""
        if isinstance(self.content, str):
            yield loc, self.content
        below: Iterable[tuple[Any, Value]] = ()
        if isinstance(self.content, dict):
            below = self.content.items()
        elif isinstance(self.content, list):
            below = enumerate(self.content)
        for step, value in below:
            yield from value.texts((*loc, step))

    def nearest(self, loc: Loc) -> Value:
        """The value at ``loc``, or the deepest one above it that was written."""
        value = self
        for step in loc:
            below = value.child(step)
            if below is None:
                break
            value = below
        return value

    def issue(self, loc: Loc, message: str) -> Issue:
        """An issue at ``loc``, with the line where it, or what is around it, was written."""
        place = self.nearest(loc).place
        if place.path is not None or not place.key:
            return Issue(place.path, place.line, dotted(loc), message)
        rest = dotted(loc[place.depth :])
        joint = "." if rest and not rest.startswith("[") else ""
        return Issue(None, None, f"{place.key}{joint}{rest}", message)

    def error(self, key: str, message: str) -> RecipeError:
        """The error that a key of this mapping alone is wrong."""
        return RecipeError([self.issue((key,), message)])


def one_line(text: str, most: int = 60) -> str:
    """Text that cannot break or garble a message: one line, printable, not long."""
    text = " ".join(text[: 4 * most].split())
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def dotted(loc: Loc) -> str:
    """A location as text: ``stages[1].epochs``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{one_line(step)}" for step in loc)
    return text.removeprefix(".")


def read(path: Path) -> Value:
    """Read a recipe file.

    Raises:
        RecipeError: it is not there, not UTF-8, empty, not YAML, or not a mapping; or a key stands
            twice, and so on: every such issue at once.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RecipeError([Issue(path, None, "", "no such file")]) from None
    except IsADirectoryError:
        raise RecipeError([Issue(path, None, "", "is a folder; name the .yaml file")]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError([Issue(path, None, "", f"cannot be read: {reason}")]) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise RecipeError([Issue(path, line, "", message)]) from None
    root = parse(text, path)
    if root is None:
        message = "the file is empty; `distill show quickstart` prints a recipe to start from"
        raise RecipeError([Issue(path, None, "", message)])
    if not isinstance(root.content, dict):
        found = "a list" if isinstance(root.content, list) else "a single value"
        message = f"found {found}, expected keys such as `task:` and `data:`"
        raise RecipeError([Issue(path, root.place.line, "", message)])
    return root


def parse(
    text: str, path: Path | None, place: Place | None = None, *, whole: bool = False
) -> Value | None:
    """Parse YAML text; ``None`` where it holds nothing.

    Args:
        text: the YAML.
        path: the file it comes from, for messages.
        place: the place of every value; left out, each has its own line.
        whole: whether nothing may stand before or behind the value: no comment, anchor or tag.

    Raises:
        RecipeError: the text is not YAML, or says something a recipe may not.
    """
    try:
        node = yaml.compose(text, _Reader)
    except yaml.MarkedYAMLError as error:
        raise RecipeError([_syntax_issue(error, path)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"character U+{ord(text[error.position]):04X} may not stand in YAML"
        raise RecipeError([Issue(path, line, "", message)]) from None
    except RecursionError:
        raise RecipeError([Issue(path, None, "", "nested too deeply")]) from None
    except ValueError as error:  # PyYAML: chr() of an escape beyond Unicode, and the like
        raise RecipeError([Issue(path, None, "", f"not valid YAML: {error}")]) from None
    if node is None:
        return None
    if whole and text.strip() != text[node.start_mark.index : node.end_mark.index].strip():
        message = "something stands before or behind the value; put a text that holds it in quotes"
        raise RecipeError([Issue(path, None, "", message)])
    builder = _Builder(path, place)
    try:
        value = builder.build(node, (), node.start_mark.line + 1)
    except RecursionError:  # an alias that contains itself
        raise RecipeError([Issue(path, None, "", "nested too deeply")]) from None
    if builder.issues:
        raise RecipeError(builder.issues)
    return value


def _syntax_issue(error: yaml.MarkedYAMLError, path: Path | None) -> Issue:
    mark = error.problem_mark or error.context_mark
    problem = one_line(str(error.problem or error.context or "cannot be read"), 120)
    return Issue(path, mark.line + 1 if mark else None, "", f"not valid YAML: {problem}")


class _Builder:
    """Turns PyYAML's nodes into values and gathers errors on the way."""

    def __init__(self, path: Path | None, place: Place | None) -> None:
        self.path = path
        self.fixed = place
        self.issues: list[Issue] = []
        self._values = 0

    def build(self, node: Node, loc: Loc, line: int) -> Value:
        self._values += 1
        if self._values > _MOST_VALUES:  # aliases of aliases may stand for millions
            raise RecipeError([Issue(self.path, line, "", "too many values for a recipe")])
        place = self.fixed or Place(self.path, line)
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return Value(dict(self._items(node, loc)), place)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            items = [
                self.build(item, (*loc, number), item.start_mark.line + 1)
                for number, item in enumerate(node.value)
            ]
            return Value(items, place)
        if isinstance(node, ScalarNode):
            return Value(self._scalar(node, loc, line), place)
        self._issue(line, loc, f"tag '{_short_tag(node)}' is not allowed")
        return Value(None, place)

    def _items(self, node: MappingNode, loc: Loc) -> Iterator[tuple[str, Value]]:
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode) or key_node.tag != f"{_TAG}str":
                name = one_line(key_node.value) if isinstance(key_node, ScalarNode) else "this key"
                self._issue(line, loc, f"'{name}' is not a name; put it in quotes if it is meant")
                continue
            if key_node.value == "<<":
                self._issue(line, loc, "'<<' is not known here; use `base:` instead")
                continue
            key = key_node.value
            if key in first:
                message = f"the key occurs twice (first on line {first[key]}); keep one"
                self._issue(line, (*loc, key), message)
                continue
            first[key] = line
            yield key, self.build(value_node, (*loc, key), line)

    def _scalar(self, node: ScalarNode, loc: Loc, line: int) -> str | int | float | bool | None:
        text = node.value
        try:
            match node.tag.removeprefix(_TAG):
                case "str":
                    return str(text)
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return int(text)
                case "float":
                    return self._finite(text, loc, line)
        except (ValueError, KeyError):
            self._issue(line, loc, f"'{one_line(text)}' cannot be read as {_short_tag(node)}")
            return None
        self._issue(line, loc, f"tag '{_short_tag(node)}' is not allowed")
        return None

    def _finite(self, text: str, loc: Loc, line: int) -> float:
        number = math.inf if "." in text and text.strip("+-.").isalpha() else float(text)
        if not math.isfinite(number):
            self._issue(line, loc, f"found {one_line(text)}, expected a finite number")
            return 0.0
        return number

    def _issue(self, line: int, loc: Loc, message: str) -> None:
        if self.fixed is not None:
            self.issues.append(Issue(None, None, self.fixed.key, message))
        else:
            self.issues.append(Issue(self.path, line, dotted(loc), message))


def _short_tag(node: Node) -> str:
    return one_line(str(node.tag).replace(_TAG, "!!"))
