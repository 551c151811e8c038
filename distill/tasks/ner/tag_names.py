"""The tags of a task: which there are, in which order, and which each word has."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from distill.data.label_index import LabelIndex
from distill.data.sources.table import Table
from distill.system.errors import DataError, listed
from distill.text.tags import OUTSIDE, SCHEMES, TagSet, split_tag, tags_of

#: A file beside the data that names the tags in the order of their integers: a JSON list.
NAMES = "labels.json"

#: A tag as data have it: its name or its integer.
RawTag = str | int


def make_tag_set(
    found: Collection[RawTag],
    table: Table,
    *,
    given: Sequence[str] | None,
    scheme: str,
    notes: list[str],
) -> TagSet:
    """The task's tags, in the order of their integers.

    They are the recipe's ``task.labels`` (tags, or types of entities alone); else those that
    :func:`own_names` gives; else, read from the training tags: ``O`` and then type by type, in
    alphabetical order. Tags that a type lacks are added at the end: a word that the tokenizer
    splits may need them.

    Args:
        found: the tags that stand in the training examples.
        table: the training table.
        given: ``task.labels``.
        scheme: ``task.scheme``.
        notes: gets a sentence where tags are added.

    Raises:
        DataError: a name is no tag of the scheme, or integers have no names.
    """
    names = own_names(found, table) if given is None else given
    where = table.place if given is None else "task.labels"
    if names is None:
        if any(isinstance(tag, int) for tag in found):
            raise DataError(
                f"{table.place}: tags are integers without names; name them in their order with "
                f"task.labels, or in a file {NAMES} beside the data"
            )
        names = tags_of(sorted(_types(map(str, found), scheme, where)), scheme)
    elif not any(name == OUTSIDE or split_tag(name, one) for name in names for one in SCHEMES):
        names = tags_of(names, scheme)
    types = _types(names, scheme, where)
    if not types:
        raise DataError(f"{where}: no tag but '{OUTSIDE}'; there must be an entity to find")
    added = [tag for tag in tags_of(types, scheme) if tag not in names]
    if added:
        notes.append(f"{where}: {listed(added)} added, so that every type has all tags")
    return TagSet([*names, *added], scheme)


def own_names(tags: Collection[RawTag], table: Table) -> Sequence[str] | None:
    """The names that a table's integers have: those it carries, or those of ``labels.json``.

    Args:
        tags: those that stand in the table.
        table: the table; the file is looked for beside it where tags are integers.

    Raises:
        DataError: the file is no JSON list of tags.
    """
    if table.label_names is not None:
        return table.label_names
    beside = Path(table.place).parent / NAMES
    if not any(isinstance(tag, int) for tag in tags) or not beside.is_file():
        return None
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{beside}: not JSON ({error}); write a list of tags") from None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise DataError(f"{beside}: not a list of tags; write them in the order of their integers")
    return found


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


def tag_index(
    tags: Collection[RawTag], table: Table, tag_set: TagSet
) -> tuple[dict[RawTag, int | str], str | None]:
    """The index of each tag of a table, or what is wrong with it; and a note on integers.

    Args:
        tags: those that stand in the table: names or integers.
        table: where they stand.
        tag_set: the task's tags.

    Raises:
        DataError: the table carries names for its integers that are not the task's.
    """
    own = own_names(tags, table)
    choices = f"types are {listed(tag_set.types)}"
    index = LabelIndex(tag_set.labels, tags, table, own=own, what="tag", choices=choices)
    return {tag: index.find(tag) for tag in tags}, index.note
