"""A file with one bad row among twenty good ones: refused with its place, or set aside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from distill.data.bad_rows import HINT
from distill.data.split import TaskData
from distill.system.errors import DataError

Load = Callable[[Path, str], TaskData]


def refused(load: Load, path: Path) -> str:
    """The error for a file whose bad row is refused, without its hint."""
    with pytest.raises(DataError) as error:
        load(path, "refuse")
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(HINT)
    return message.removesuffix(f"; {HINT}")


def refused_or_set_aside(
    load: Load, path: Path, place: str, said: str, *, at: str | None = None
) -> TaskData:
    """What is loaded without the row at ``place``; its error begins ``at`` there, or elsewhere."""
    message = refused(load, path)
    assert message.startswith(f"{at or place}: "), message
    assert said in message
    found = load(path, "skip")
    (bad,) = found.bad
    assert (bad.source, bad.place) == (str(path), place)
    assert said in bad.reason
    assert (
        f"{path}: 1 of 21 rows set aside as bad, see bad_rows.jsonl; the first: {place}: "
        f"{bad.reason}"
    ) in found.notes
    return found
