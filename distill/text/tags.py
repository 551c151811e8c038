"""Tags of words and the entities that they spell, both ways, for the schemes BIO and BIOES.

``B-x`` begins an entity of the type x, ``I-x`` goes on with it and ``O`` stands outside; BIOES
also marks the last word of an entity (``E-x``) and one that is the only word (``S-x``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: The word for what is no entity.
OUTSIDE = "O"
#: Prefixes of the tags that a scheme has beside ``O``.
SCHEMES: dict[str, str] = {"bio": "BI", "bioes": "BIES"}


class Span(NamedTuple):
    """An entity: a type's number, its first word, and the word behind its last one."""

    type: int
    start: int
    end: int


class TagFault(NamedTuple):
    """What is wrong with a sequence of tags: the word's number from 0, and why."""

    word: int
    why: str


def split_tag(tag: str, scheme: str) -> tuple[str, str] | None:
    """A tag's prefix and type, such as ``("B", "person")``; ``("O", "")`` for what is no entity.

    ``None`` for what is no tag of the scheme.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    if dash and kind and len(prefix) == 1 and prefix in SCHEMES[scheme]:
        return prefix, kind
    return None


def tags_of(types: Iterable[str], scheme: str) -> tuple[str, ...]:
    """``O`` and every tag of the types: type by type, in the order given.

    Example:
        >>> tags_of(["person"], "bio")
        ('O', 'B-person', 'I-person')
    """
    return OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in SCHEMES[scheme])


class TagSet:
    """The tags of a task, by number.

    Args:
        labels: the tags in the order of their numbers: ``O``, and all tags of each type.
        scheme: ``bio`` or ``bioes``.

    Attributes:
        types: the types of entities, in the order in which the tags name them first.

    Raises:
        ValueError: a label is no tag of the scheme, or one is missing.
    """

    def __init__(self, labels: Sequence[str], scheme: str) -> None:
        self.labels, self.scheme = tuple(labels), scheme
        parts = [split_tag(label, scheme) for label in labels]
        wrong = [label for label, part in zip(labels, parts, strict=True) if part is None]
        self._parts = [part for part in parts if part is not None]
        self.types = tuple(dict.fromkeys(kind for _, kind in self._parts if kind))
        missing = set(tags_of(self.types, scheme)) - set(labels)
        if wrong or missing:
            what = f"'{wrong[0]}' is no tag of it" if wrong else f"'{min(missing)}' is missing"
            raise ValueError(f"scheme {scheme}: {what}")
        place = {kind: number for number, kind in enumerate(self.types)}
        # Prefix and type's number of each tag; -1 outside.
        self._read = [(prefix, place.get(kind, -1)) for prefix, kind in self._parts]
        self._write = {part: tag for tag, part in enumerate(self._read)}
        self.outside = self._write[OUTSIDE, -1]

    def read(self, tags: Sequence[int], *, strict: bool = True) -> list[Span]:
        """The entities that a sequence of tags spells.

        Args:
            tags: one tag's number for each word.
            strict: only what the scheme allows is an entity. Otherwise an illegal beginning is
                taken for one, and so is an illegal end, as ``conlleval`` does.

        Reference:
            Tjong Kim Sang and De Meulder 2003 (conlleval); the two ways are those of ``seqeval``'s
            modes, ``strict`` and its default.
        """
        return self._read_strict(tags) if strict else self._read_lenient(tags)

    def _read_strict(self, tags: Sequence[int]) -> list[Span]:
        found: list[Span] = []
        closes = "E" in SCHEMES[self.scheme]  # an entity must say where it ends
        start, open_type = 0, -1
        for word, tag in enumerate([*tags, self.outside]):
            prefix, kind = self._read[tag]
            if open_type >= 0 and prefix in "IE" and kind == open_type:
                if prefix == "E":
                    found.append(Span(kind, start, word + 1))
                    open_type = -1
                continue
            if open_type >= 0 and not closes:
                found.append(Span(open_type, start, word))
            open_type = -1
            if prefix == "B":
                start, open_type = word, kind
            elif prefix == "S":
                found.append(Span(kind, word, word + 1))
        return found

    def _read_lenient(self, tags: Sequence[int]) -> list[Span]:
        found: list[Span] = []
        start, open_type, ended = 0, -1, True
        for word, tag in enumerate([*tags, self.outside]):
            prefix, kind = self._read[tag]
            if not ended and prefix in "IE" and kind == open_type:
                ended = prefix == "E"
                continue
            if open_type >= 0:
                found.append(Span(open_type, start, word))
            start, open_type, ended = word, kind, prefix in "ESO"
        return found

    def write(self, spans: Iterable[Span], length: int) -> list[int]:
        """The tags of so many words, among which these entities stand; none may overlap."""
        tags = [self.outside] * length
        closes = "E" in SCHEMES[self.scheme]
        for kind, start, end in spans:
            tags[start:end] = [self._write["I", kind]] * (end - start)
            tags[start] = self._write["B", kind]
            if closes:
                tags[end - 1] = self._write["E", kind]
                if end - start == 1:
                    tags[start] = self._write["S", kind]
        return tags

    def inside(self, *, first: bool, last: bool) -> list[int]:
        """The tag that a part of a word has for each tag of the whole word.

        Args:
            first: whether the part begins the word; otherwise it begins no entity.
            last: whether the part ends it; otherwise it ends none.
        """
        found = []
        for prefix, kind in self._read:
            begins, ends = prefix in "BS" and first, prefix in "ES" and last
            part = {(True, True): "S", (True, False): "B", (False, True): "E"}.get((begins, ends))
            found.append(self.outside if kind < 0 else self._write[part or "I", kind])
        return found

    def issue(self, tags: Sequence[int]) -> TagFault | None:
        """Where a sequence of tags breaks the scheme first, or ``None`` where it does not."""
        closes = "E" in SCHEMES[self.scheme]
        open_type = -1
        for word, tag in enumerate([*tags, self.outside]):
            prefix, kind = self._read[tag]
            goes_on = prefix in "IE" and kind >= 0
            if goes_on and kind != open_type:
                before = f"follows '{self.labels[tags[word - 1]]}'" if word else "comes first"
                return TagFault(word, f"'{self.labels[tag]}' {before}, but goes on with an entity")
            if open_type >= 0 and not goes_on and closes:
                what = f"'{self.labels[tags[word - 1]]}'"
                after = "nothing" if word == len(tags) else f"'{self.labels[tag]}'"
                why = f"{what} is followed by {after}, before the entity ends"
                return TagFault(word - 1, why)
            open_type = kind if prefix == "B" or (goes_on and prefix == "I") else -1
        return None
