"""Tables of words and tags to checked rows."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from distill.data.labels import LabelIndex
from distill.data.reader import Examples, Reader, Tables, keep_more
from distill.data.sources.columns import stored
from distill.data.sources.table import Table, cell_list, id_issues, shown, text_issue
from distill.data.split import Split
from distill.files.bad_rows import BadRowError
from distill.recipe.schema import Columns
from distill.system.errors import DataError, listed
from distill.tasks.ner.tokens import TaggedSplit, tagged
from distill.text.tags import OUTSIDE, SCHEMES, TagSet, split_tag, tags_of

#: A file beside the data that names the tags in the order of their integers: a JSON list.
NAMES = "labels.json"

#: A tag as data have it: its name or its integer.
RawTag = str | int
#: What is wrong with rows: the word's number from 0, where it is one word's issue, and why.
_Issues = dict[int, tuple[int | None, str]]
_FIX = "; fix it, or let task.repair: true take it as conlleval does"


class TagReader(Reader):
    """Reads words with a tag each that may stand there.

    Rows without any word are left out, and noted.
    """

    column_files: ClassVar[bool] = True
    label_key = "tags"

    def read(self, tables: Tables) -> Examples:
        whole = {role: self._whole(table) for role, table in tables.items()}
        self.bad.check({table.place: len(table) for table in whole.values()})
        train = whole["train"]
        there = {
            role: dict.fromkeys(chain.from_iterable(self._tags(table)))
            for role, table in whole.items()
        }
        tag_set = self._tag_set(there["train"], train)
        splits = {}
        for role, table in whole.items():
            index, note = _tag_index(there[role], table, tag_set)
            self.notes += [note] if note else []
            splits[role] = self._tagged(role, table, index, tag_set)
        self._check_seen(splits["train"], train)
        return splits, tag_set.labels

    def _tagged(
        self, role: str, table: Table, index: Mapping[RawTag, int | str], tag_set: TagSet
    ) -> TaggedSplit:
        unknown: _Issues = {}
        illegal: _Issues = {}
        repaired = 0

        def good() -> Iterator[list[int]]:
            nonlocal repaired
            for row, tags in enumerate(self._tags(table)):
                found = [index[tag] for tag in tags]
                known = [tag for tag in found if isinstance(tag, int)]
                if len(known) < len(found):
                    unknown[row] = next(
                        (place, why) for place, why in enumerate(found) if isinstance(why, str)
                    )
                elif (issue := tag_set.issue(known)) is None:
                    yield known
                elif self.task.repair:
                    repaired += 1
                    yield tag_set.write(tag_set.read(known, strict=False), len(known))
                else:
                    illegal[row] = (issue.word, issue.why + _FIX)

        tags = stored(good(), pa.list_(pa.int32()))
        if repaired:
            self.notes.append(f"{table.place}: illegal tags of {repaired:,} examples are repaired")
        # Of rows that are refused, those with unknown tags are the graver ones.
        table = self._sift(table, unknown | illegal if self.bad.skips else unknown or illegal)
        words = stored(map(cell_list, table.columns[self.columns.tokens]), pa.list_(pa.string()))
        return tagged(role, words, tags, tag_set, stride=self.task.stride)

    def _sift(self, table: Table, issues: _Issues) -> Table:
        """Take bad rows out, or refuse the first one with the place of its word."""
        if issues and not self.bad.skips:
            row = min(issues)
            word, why = issues[row]
            more = len(issues) - 1
            rest = f" (and {more:,} more row{'s' * (more > 1)})" if more else ""
            raise BadRowError(f"{table.at(row, word)}: {why}{rest}")
        said = {
            row: why if word is None else f"word {word + 1}: {why}"
            for row, (word, why) in issues.items()
        }
        return self.bad.sift(table, said)

    def _whole(self, table: Table) -> Table:
        columns = self.columns
        tokens = table.column(columns.tokens, "data.columns.tokens")
        tags = table.column(columns.tags, "data.columns.tags")
        issues: _Issues = {}
        for row, cells in enumerate(zip(tokens, tags, strict=True)):
            if (issue := _row_issue(*cells, columns, self.task.scheme)) is not None:
                issues[row] = issue
        table = self._sift(table, issues)
        if columns.id is not None:
            table = self.bad.sift(table, id_issues(table, columns.id))
        kept = [row for row, cell in enumerate(table.columns[columns.tokens]) if cell_list(cell)]
        if not kept:
            raise DataError(
                f"{table.place}: no example has a word; it needs examples to learn from"
            )
        if len(kept) == len(table):
            return table
        left = len(table) - len(kept)
        self.notes.append(f"{table.place}: {left:,} examples without words are left out")
        return table.take(kept)

    def _tags(self, table: Table) -> Iterator[list[RawTag]]:
        """The tags of rows that were looked at: names without white space around, or integers."""
        for cell in table.columns[self.columns.tags]:
            yield [
                tag.strip() if isinstance(tag, str) else int(tag) for tag in cell_list(cell) or []
            ]

    def _check_seen(self, train: TaggedSplit, table: Table) -> None:
        """Types that no training example shows: only those can be that somebody named."""
        seen = {kind for group in train.groups for kind in group}
        if not seen:
            raise DataError(f"{table.place}: no word has a tag but 'O'; there must be an entity")
        unseen = [name for index, name in enumerate(train.tag_set.types) if index not in seen]
        if unseen:
            self.notes.append(f"{table.place}: no row has an entity of the type {listed(unseen)}")

    def _tag_set(self, found: Collection[RawTag], table: Table) -> TagSet:
        """The task's tags, in the order of their integers.

        They are the recipe's ``task.labels`` (tags, or types of entities alone); else those that
        :func:`_own_names` gives; else, read from the training tags: ``O`` and then type by type, in
        alphabetical order. Tags that a type lacks are added at the end: a word that the tokenizer
        splits may need them.
        """
        given, scheme = self.task.labels, self.task.scheme
        names = _own_names(found, table) if given is None else given
        where = table.place if given is None else "task.labels"
        if names is None:
            if any(isinstance(tag, int) for tag in found):
                raise DataError(
                    f"{table.place}: tags are integers without names; name them in their order "
                    f"with task.labels, or in a file {NAMES} beside the data"
                )
            names = tags_of(sorted(_types(map(str, found), scheme, where)), scheme)
        elif not any(name == OUTSIDE or split_tag(name, one) for name in names for one in SCHEMES):
            names = tags_of(names, scheme)
        types = _types(names, scheme, where)
        if not types:
            raise DataError(f"{where}: no tag but '{OUTSIDE}'; there must be an entity to find")
        added = [tag for tag in tags_of(types, scheme) if tag not in names]
        if added:
            self.notes.append(f"{where}: {listed(added)} added, so that every type has all tags")
        return TagSet([*names, *added], scheme)

    def check(self, splits: Mapping[str, Split], labels: Sequence[str], *, place: str) -> list[str]:
        if not any(splits["train"].groups or ()):
            raise DataError(
                f"{place}: the {len(splits['train']):,} training examples kept have no entity"
                f"{keep_more(place)}"
            )
        return super().check(splits, labels, place=place)


def _row_issue(
    tokens: Any, tags: Any, columns: Columns, scheme: str
) -> tuple[int | None, str] | None:
    if (words := cell_list(tokens)) is None:
        return None, _no_list(tokens, columns.tokens)
    if (given := cell_list(tags)) is None:
        return None, _no_list(tags, columns.tags)
    if len(words) != len(given):
        return None, (
            f"{len(words)} words in '{columns.tokens}', but {len(given)} tags in "
            f"'{columns.tags}'; every word needs one"
        )
    for place, word in enumerate(words):
        if (issue := text_issue(word)) is not None:
            return place, f"the word {issue}; fix or remove it"
    for place, tag in enumerate(given):
        if (issue := _tag_issue(tag, scheme)) is not None:
            return place, issue
    return None


def _no_list(cell: Any, column: str | None) -> str:
    what = "is missing" if cell is None else f"holds {shown(cell)}"
    return f"column '{column}' {what}; a list with one entry for each word is expected"


def _tag_issue(tag: Any, scheme: str) -> str | None:
    if isinstance(tag, str) and tag.strip():
        return None if split_tag(tag.strip(), scheme) else _no_tag(tag.strip(), scheme)
    if isinstance(tag, int) and not isinstance(tag, bool):
        return None
    shown = "missing" if tag is None or tag == "" else f"{tag!r}"
    return f"the tag is {shown}; a name or an integer is expected"


def _own_names(tags: Collection[RawTag], table: Table) -> Sequence[str] | None:
    """The names that a table's integers have: those it carries, or of ``labels.json`` beside it."""
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
    found: dict[str, None] = {}
    for name in names:
        part = split_tag(name, scheme)
        if part is None:
            raise DataError(f"{where}: {_no_tag(name, scheme)}")
        if part[1]:
            found[part[1]] = None
    return list(found)


def _no_tag(name: str, scheme: str) -> str:
    """What to say of a name that is no tag of a scheme."""
    prefixes = ", ".join(f"{prefix}-TYPE" for prefix in SCHEMES[scheme])
    said = f"'{name}' is no tag of the scheme {scheme} ({prefixes} or {OUTSIDE})"
    other = next((one for one in SCHEMES if split_tag(name, one)), None)
    return f"{said}; write task.scheme: {other}" if other else said


def _tag_index(
    tags: Collection[RawTag], table: Table, tag_set: TagSet
) -> tuple[dict[RawTag, int | str], str | None]:
    """The index of each tag of a table, or what is wrong with it; and a note on integers."""
    own = _own_names(tags, table)
    choices = f"types are {listed(tag_set.types)}"
    index = LabelIndex(tag_set.labels, tags, table, own=own, what="tag", choices=choices)
    return {tag: index.find(tag) for tag in tags}, index.note
