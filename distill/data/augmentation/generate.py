"""New rows from old ones: words replaced at random by their candidates.

Legend: N copies, M words with candidates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from distill.data.augmentation.candidates import Candidates, Choice
from distill.data.augmentation.words import Sentence, written_like
from distill.data.split import Split

_CHUNK = 256


class AugmentedRow(NamedTuple):
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
    """How rows are changed.

    Args:
        copies: how often a row is tried to be changed (N).
        replace: probability that a word with candidates is replaced.
        seed: seeds every row by itself.
        columns: which texts of a pair are changed.
    """

    copies: int
    replace: float
    seed: int
    columns: Literal["both", "text", "text_pair"] = "both"

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


def augment(split: Split, candidates: Candidates, method: Method) -> Iterator[AugmentedRow]:
    """New rows, in the order of the old ones; what is made of a row depends on it alone.

    Of a pair one text is changed and the other kept as it is. (The published code pairs a changed
    second sentence with the last changed first one.) Neither originals nor repetitions are given,
    so a row yields at most ``method.copies``.

    Args:
        split: the rows.
        candidates: those of the split's texts.
        method: how.

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
                    yield AugmentedRow(number, new, pair, replaced, count)
            if second:
                for new, replaced, count in _changed(next(seconds), number, second, method, 1):
                    yield AugmentedRow(number, text, new, replaced, count)
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
    """The text with the picked words in their places, and everything between as it was."""
    parts, done = [], 0
    for choice, pick in zip(choices, picks, strict=True):
        if pick < 0:
            continue
        start, end = choice.word.start, choice.word.end
        word = choice.words[choice.ids[pick]]
        parts += [text[done:start], written_like(word, text[start:end])]
        done = end
    return "".join([*parts, text[done:]])
