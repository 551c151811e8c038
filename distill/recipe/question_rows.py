"""How many windows the questions of a SQuAD file make, told from its characters."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def count_windows(
    path: Path, *, characters: float, max_length: int, limit: int | None, largest: int
) -> tuple[int, float] | None:
    """Windows of a file's questions, and the mean tokens of one.

    Args:
        path: a ``.json`` or ``.json.gz`` file.
        characters: of a token.
        max_length: tokens of a window; a third of it is shared with the next one.
        limit: only so many questions are used, whichever.
        largest: bytes from which on it is not read.

    Returns:
        ``None`` where the file cannot be read as SQuAD's; its reader tells why.
    """
    try:
        if path.stat().st_size > largest:
            return None
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = json.load(file)
        texts = list(_of(content))
    except (OSError, EOFError, ValueError, LookupError, TypeError):
        return None
    if not texts:
        return None
    windows, tokens = 0, 0.0
    for text, question in texts:
        asked = min(len(question) / characters, 64.0) + 3
        own, each = _windows(len(text) / characters, asked, max_length)
        windows += own
        tokens += own * each
    share = min(1.0, limit / len(texts)) if limit else 1.0
    return max(1, round(windows * share)), tokens / windows


def _windows(text: float, rest: float, max_length: int) -> tuple[int, float]:
    """Windows of one question, and their mean tokens."""
    if text + rest <= max_length:
        return 1, text + rest
    step = max(1.0, max_length - rest - max_length // 3)
    count = 1 + math.ceil((text + rest - max_length) / step)
    return count, rest + (text + (count - 1) * (max_length // 3)) / count


def _of(content: Any) -> Iterator[tuple[str, str]]:
    """Text and question of every question."""
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for entry in paragraph["qas"]:
                yield str(paragraph["context"]), str(entry["question"])
