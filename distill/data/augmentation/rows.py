"""Augmented rows in a file: written as they come, read a chunk at a time.

A line of the file is ``{"row": 7, "text": "...", "text_pair": "...", "label": "..."}``: the number
of the training row it was made from, its texts, and that row's label.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.data.augmentation.generate import AugmentedRow
from distill.data.split import Split, named
from distill.data.tokenized import Texts
from distill.system import atomic, digest

ROWS = "rows.jsonl.gz"


def write_rows(
    path: Path, rows: Iterable[AugmentedRow], split: Split, labels: Sequence[str]
) -> None:
    """Write rows as gzipped JSON lines; the file appears when it is whole.

    Args:
        path: the file.
        rows: what is written.
        split: the rows they were made from.
        labels: label names.
    """
    with (
        atomic.new_file(path) as new,
        new.open("wb") as raw,
        # Without name and time: the same rows are the same bytes.
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
    ):
        for row in rows:
            pair = {} if row.pair is None else {"text_pair": row.pair}
            label = named(split.labels[row.row], labels)
            content = {"row": row.row, "text": row.text, **pair, "label": label}
            file.write(json.dumps(content, ensure_ascii=False) + "\n")


def read_rows(path: Path) -> Iterator[AugmentedRow]:
    """The rows of a file; how many words were replaced is not told there."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            content = json.loads(line)
            yield AugmentedRow(content["row"], content["text"], content.get("text_pair"), 0, 0)


class AugmentedSplit:
    """The original rows and behind them the augmented ones, which stay in their file.

    Args:
        split: the original rows.
        path: the augmented rows' file.

    Attributes:
        name: the split's name and ``+ augmented``.
        origins: the original row of each augmented one, (A,).
        targets: what is right for each row, an augmented one's from its original, (N + A, ...).
    """

    def __init__(self, split: Split, path: Path) -> None:
        self.name = f"{split.name} + augmented"
        self.split, self.path = split, path
        self.origins: npt.NDArray[np.int64] = np.fromiter(
            (row.row for row in read_rows(path)), dtype=np.int64
        )
        own = split.targets
        self.targets: npt.NDArray[Any] = np.concatenate([own, own[self.origins]])

    @property
    def paired(self) -> bool:
        """Whether rows are pairs of sentences."""
        return self.split.paired

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def text_digest(self) -> str:
        """SHA-256 (hex) of the original texts and of the augmented rows' file."""
        return digest.of_json([self.split.text_digest, digest.of_file(self.path)])

    def digest(self) -> str:
        """SHA-256 (hex) of texts and labels."""
        return digest.of_json([self.text_digest, self.split.digest()])

    def chunks(self, size: int) -> Iterator[Texts]:
        """The original texts in order, then the augmented ones, ``size`` at a time."""
        yield from self.split.chunks(size)
        texts: list[str] = []
        pairs: list[str] = []
        for row in read_rows(self.path):
            texts.append(row.text)
            pairs.append(row.pair or "")
            if len(texts) == size:
                yield texts, pairs if self.paired else None
                texts, pairs = [], []
        if texts:
            yield texts, pairs if self.paired else None
