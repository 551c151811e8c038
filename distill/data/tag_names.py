"""The tags of a task: which there are, in which order, and which each word has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from distill.data.sources.table import Table
from distill.errors import DataError, listed, nearest
from distill.text.tags import OUTSIDE, SCHEMES, TagSet, split_tag, tags_of

#: A file beside the data that names the tags in the order of their integers: a JSON list.
NAMES = "labels.json"

#: A tag as data have it: its name or its integer.
RawTag = str | int


def make_tag_set(
    raw: Sequence[Sequence[RawTag]],
    table: Table,
    *,
    given: Sequence[str] | None,
    scheme: str,
    notes: list[str],
) -> TagSet:
    """The task's tags, in the order of their integers.

    They are the recipe's ``task.labels`` (tags, or types of entities alone); else those that the
    data carry; else, for integers, those that ``labels.json`` beside the file names; else, read
    from the training tags: ``O`` and then type by type, in alphabetical order. Tags that a type
    lacks are added at the end: a word that the tokenizer splits may need them.

    Args:
        raw: the training rows' tags.
        table: the training table.
        given: ``task.labels``.
        scheme: ``task.scheme``.
        notes: gets a sentence where tags are added.

    Raises:
        DataError: a name is no tag of the scheme, or integers have no names.
    """
    names = _named(raw, table, given)
    where = table.place if given is None else "task.labels"
    if names is None:
        found = {tag for row in raw for tag in row}
        if any(isinstance(tag, int) for tag in found):
            raise DataError(
                f"{table.place}: tags are integers without names; name them in their order with "
                f"task.labels, or in a file {NAMES} beside the data"
            )
        names = tags_of(sorted(_types(map(str, found), scheme, where)), scheme)
    elif not any(name == OUTSIDE or _prefixed(name) for name in names):
        names = tags_of(names, scheme)
    types = _types(names, scheme, where)
    if not types:
        raise DataError(f"{where}: no tag but '{OUTSIDE}'; there must be an entity to find")
    added = [tag for tag in tags_of(types, scheme) if tag not in names]
    if added:
        notes.append(f"{where}: {listed(added)} added, so that every type has all tags")
    return TagSet([*names, *added], scheme)


def _named(
    raw: Sequence[Sequence[RawTag]], table: Table, given: Sequence[str] | None
) -> Sequence[str] | None:
    if given is not None:
        return given
    if table.label_names is not None:
        return table.label_names
    beside = Path(table.place).parent / NAMES
    if not any(isinstance(tag, int) for row in raw for tag in row) or not beside.is_file():
        return None
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{beside}: not JSON ({error}); write a list of tags") from None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise DataError(f"{beside}: not a list of tags; write them in the order of their integers")
    return found


def _prefixed(name: str) -> bool:
    return any(split_tag(name, scheme) for scheme in SCHEMES)


def _types(names: Iterable[str], scheme: str, where: str) -> list[str]:
    """The types of tags, in the order in which they come first."""
    found: dict[str, None] = {}
    for name in names:
        part = split_tag(name, scheme)
        if part is None:
            raise DataError(f"{where}: {no_tag(name, scheme)}")
        if part[1]:
            found[part[1]] = None
    return list(found)


def no_tag(name: str, scheme: str) -> str:
    """What to say of a name that is no tag of a scheme."""
    prefixes = ", ".join(f"{prefix}-TYPE" for prefix in SCHEMES[scheme])
    said = f"'{name}' is no tag of the scheme {scheme} ({prefixes} or {OUTSIDE})"
    other = next((one for one in SCHEMES if split_tag(name, one)), None)
    return f"{said}; write task.scheme: {other}" if other else said


def to_indices(raw: Sequence[Sequence[RawTag]], table: Table, tag_set: TagSet) -> list[list[int]]:
    """Each word's tag as an index, for tags that :func:`index_faults` found nothing wrong with.

    Args:
        raw: tags: names or integers.
        table: names that it carries give its integers their meaning.
        tag_set: the task's tags.
    """
    known = _known(table, tag_set)
    return [[known[tag] for tag in tags] for tags in raw]


def index_faults(
    raw: Sequence[Sequence[RawTag]], table: Table, tag_set: TagSet
) -> dict[int, tuple[int, str]]:
    """Rows with a tag that the task has not: by the row's index the word's number, and why."""
    known = _known(table, tag_set)
    found = {}
    for row, tags in enumerate(raw):
        word = next((place for place, tag in enumerate(tags) if tag not in known), None)
        if word is not None:
            found[row] = word, _unknown(tags[word], tag_set)
    return found


def _known(table: Table, tag_set: TagSet) -> dict[RawTag, int]:
    """The index of each tag that a table may hold."""
    by_name: dict[RawTag, int] = {name: index for index, name in enumerate(tag_set.labels)}
    # Names that the recipe replaces, integer by integer, are no tags of the task.
    own = table.label_names or ()
    own = own if own and set(own) <= by_name.keys() else tag_set.labels
    return by_name | {integer: by_name[name] for integer, name in enumerate(own)}


def _unknown(tag: RawTag, tag_set: TagSet) -> str:
    if isinstance(tag, int):
        count = len(tag_set.labels)
        return f"the tag {tag} is out of range; there are {count} tags, so 0 to {count - 1}"
    known = listed(tag_set.types)
    return f"the tag '{tag}' is unknown; types are {known}{nearest(tag, tag_set.labels)}"
