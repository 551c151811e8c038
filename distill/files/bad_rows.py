"""Rows that cannot be used, and the files that they are set aside in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from distill.system.errors import DataError


class BadRowError(DataError):
    """A row that cannot be used, where bad rows are refused."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used."""

    place: str  # ``file:line``, or the row's number from 1
    reason: str  # what is wrong with it
    content: Any  # the row as it stands: its columns, or its text where it could not be parsed
    source: str = ""  # the file, or the name of the data set and split, that it stands in


def bad_line(row: BadRow) -> str:
    """A bad row as a line of JSON: ``place``, ``reason`` and ``row``."""
    return json_line({"place": row.place, "reason": row.reason, "row": plain(row.content)})


def json_line(content: Mapping[str, Any]) -> str:
    """An object on a line of its own."""
    text = json.dumps(content, ensure_ascii=False)
    # JSON can spell half a surrogate pair; UTF-8 cannot.
    return (text if is_unicode(text) else json.dumps(content)) + "\n"


def is_unicode(text: str) -> bool:
    """Whether a string can be written as UTF-8; one with lone surrogates cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def plain(value: Any) -> Any:
    """A value as JSON can have it; numbers that JSON has no word for, and objects, as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, date | time | timedelta | Decimal | UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
