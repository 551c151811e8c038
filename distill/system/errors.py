"""Errors that are the user's to fix, each told in one line and ended with exit code 2."""

from __future__ import annotations

import difflib
import errno
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

#: Names that a message lists at most.
_LISTED = 12
_FULL = (errno.ENOSPC, errno.EDQUOT)
#: What writers in Rust and C++ (torch, safetensors, arrow) say instead of raising an `OSError`.
_FULL_TEXTS = ("No space left on device", "os error 28", "Disk quota exceeded")


def quoted(path: str | Path) -> str:
    """A path as a word of a command line that is printed to be pasted into a shell."""
    return shlex.quote(str(path))


class UserError(Exception):
    """A mistake of the user's: the command line prints it in one line and exits with 2.

    The message says where it is (file and line or row where there is one), what was found and
    what to do about it.
    """


class DataError(UserError):
    """Input data that cannot be used as they are."""


class ModelError(UserError):
    """A model folder, name or shape that cannot be used as it is."""


class GateError(UserError):
    """A compressed model lost more of its score than the recipe allows."""


class ProcessError(UserError):
    """A process of a training on several devices was killed, or the devices are not there."""


class RunFolderError(UserError):
    """A run folder that belongs to another recipe, is in use, or is not a run folder."""


class DiskFullError(UserError):
    """There is no room for what a run writes."""


def full_disk(error: BaseException) -> BaseException | None:
    """The full disk among an error and what caused it; ``None`` where there is none."""
    for link in _chain(error):
        if isinstance(link, OSError) and link.errno in _FULL:
            return link
        if any(text in str(link) for text in _FULL_TEXTS):
            return link
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it came from, what that came from, and so on; each once."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


@dataclass(frozen=True, order=True)
class Issue:
    """One issue in a recipe."""

    path: Path | None  # the file it stands in, or ``None`` for an override on the command line
    line: int | None  # the 1-based line, or ``None`` where the issue has no line
    where: str  # dotted key path, such as ``stages[1].epochs``; empty for the whole file
    message: str  # what is wrong and, where it can be told, what to write instead

    def __str__(self) -> str:
        place = "override" if self.path is None else str(self.path)
        if self.line is not None:
            place = f"{place}:{self.line}"
        key = f" {self.where}:" if self.where else ""
        # What a recipe says is repeated, and it may say a control character.
        said = f"{key} {self.message}"
        return f"{place}:{''.join(c if c.isprintable() else ascii(c)[1:-1] for c in said)}"


class RecipeError(UserError):
    """Everything that is wrong with a recipe, one line an issue."""

    def __init__(self, issues: list[Issue]) -> None:
        self.issues = issues
        super().__init__("\n".join(str(issue) for issue in issues))


def listed(names: Iterable[str]) -> str:
    """Names in quotes, with commas; a long list is cut."""
    found = list(names)
    shown = ", ".join(f"'{name}'" for name in found[:_LISTED])
    return f"{shown}, ... ({len(found)})" if len(found) > _LISTED else shown or "none"


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where a known name is like ``name``, else nothing."""
    by_folded = {other.casefold(): other for other in known}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return f"; did you mean '{by_folded[found[0]]}'?" if found else ""
