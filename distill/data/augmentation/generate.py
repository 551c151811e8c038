"""New examples from old ones: words replaced at random by their candidates, and kept in a file.

A line of the file is ``{"row": 7, "text": "...", "text_pair": "...", "label": "..."}``: the number
of the training example it was made from, its texts, and that example's label.

Legend: N copies, M words with candidates, A augmented examples.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from distill.data.augmentation.candidates import Candidates, Choice
from distill.data.augmentation.words import Sentence, written_like
from distill.data.split import Split, named
from distill.data.tokenized import Texts
from distill.system import atomic, digest

_CHUNK = 256


class AugmentedExample(NamedTuple):
    """A row that augmentation made.

    Args:
        row: the number of the row it was made from.
        text: the text, or the first sentence of a pair.
        pair: the second sentence, or ``None``.
        replaced: how many words are others than in the original.
        words: how many words the changed text has, without signs.
    """

    row: int
    text: str
    pair: str | None
    replaced: int
    words: int


@dataclass(frozen=True)
class Method:
    """How rows are changed."""

    copies: int  # how often a row is tried to be changed (N)
    replace: float  # probability that a word with candidates is replaced
    seed: int  # seeds every row by itself
    columns: Literal["both", "text", "text_pair"] = "both"  # which texts of a pair are changed

    def shares(self, *, paired: bool) -> tuple[int, int]:
        """Copies that change the first text and the second, each with the other as it is."""
        if not paired or self.columns == "text":
            return self.copies, 0
        if self.columns == "text_pair":
            return 0, self.copies
        return self.copies - self.copies // 2, self.copies // 2


def changed_texts(split: Split, method: Method) -> Iterator[str]:
    """The texts of a split whose words need candidates."""
    first, second = method.shares(paired=split.paired)
    if first:
        yield from split.texts
    if second and split.pairs is not None:
        yield from split.pairs


def augment(split: Split, candidates: Candidates, method: Method) -> Iterator[AugmentedExample]:
    """New rows, in the order of the old ones; what is made of a row depends on it alone.

    Of a pair one text is changed and the other kept as it is. (The published code pairs a changed
    second sentence with the last changed first one.) Neither originals nor repetitions are given,
    so a row yields at most ``method.copies``.

    Reference:
        Jiao et al. 2020, TinyBERT, algorithm 1.
    """
    first, second = method.shares(paired=split.paired)
    start = 0
    for texts, pairs in split.chunks(_CHUNK):
        firsts = candidates.of(texts) if first else iter(())
        seconds = candidates.of(pairs) if second and pairs is not None else iter(())
        for number, text in enumerate(texts, start):
            pair = None if pairs is None else pairs[number - start]
            if first:
                for new, replaced, count in _changed(next(firsts), number, first, method, 0):
                    yield AugmentedExample(number, new, pair, replaced, count)
            if second:
                for new, replaced, count in _changed(next(seconds), number, second, method, 1):
                    yield AugmentedExample(number, text, new, replaced, count)
        start += len(texts)


def _changed(
    found: tuple[Sentence, list[Choice]], row: int, copies: int, method: Method, column: int
) -> Iterator[tuple[str, int, int]]:
    """Distinct changed texts: the text, replaced words, words in all."""
    sentence, choices = found
    if not choices:
        return
    text = sentence.text
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8])
    random = np.random.default_rng([method.seed, row, column, seed])
    sizes = np.array([len(choice.ids) for choice in choices])
    shape = (copies, len(choices))  # (N, M)
    replaced = random.random(shape) < method.replace
    picks = np.where(replaced, (random.random(shape) * sizes).astype(np.int64), -1)
    seen = {text}
    for pick in picks.tolist():
        new = _rewritten(text, choices, pick)
        if new not in seen:
            seen.add(new)
            yield new, sum(number >= 0 for number in pick), sentence.spoken


def _rewritten(text: str, choices: Sequence[Choice], picks: Sequence[int]) -> str:
    parts, done = [], 0
    for choice, pick in zip(choices, picks, strict=True):
        if pick < 0:
            continue
        start, end = choice.word.start, choice.word.end
        word = choice.words[choice.ids[pick]]
        parts += [text[done:start], written_like(word, text[start:end])]
        done = end
    return "".join([*parts, text[done:]])


ROWS = "rows.jsonl.gz"


def write_rows(
    path: Path, rows: Iterable[AugmentedExample], split: Split, labels: Sequence[str]
) -> None:
    """Write rows made from a split as gzipped JSON lines; the file appears when it is whole."""
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


def read_rows(path: Path) -> Iterator[AugmentedExample]:
    """The rows of a file; how many words were replaced is not told there."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            content = json.loads(line)
            yield AugmentedExample(content["row"], content["text"], content.get("text_pair"), 0, 0)


class AugmentedSplit:
    """The original rows and behind them the augmented ones, which stay in their file.

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
        return self.split.paired

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def text_digest(self) -> str:
        """SHA-256 (hex) of the original texts and of the augmented examples' file."""
        return digest.of_json([self.split.text_digest, digest.of_file(self.path)])

    def digest(self) -> str:
        return digest.of_json([self.text_digest, self.split.digest()])

    def chunks(self, size: int) -> Iterator[Texts]:
        """The original texts in order, then the augmented ones, ``size`` at a time."""
        yield from self.split.chunks(size)
        rows = read_rows(self.path)
        while part := list(islice(rows, size)):
            pairs = [row.pair or "" for row in part] if self.paired else None
            yield [row.text for row in part], pairs
