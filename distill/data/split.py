"""Rows of a task, as every source gives them and every stage takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from distill import digest
from distill.files.bad_rows import BadRow

#: Texts, and the second sentence of each where rows are pairs.
Texts = tuple[list[str], list[str] | None]


class TextRows(Protocol):
    """Rows that can be tokenised: a :class:`Split`, or rows that lie in a file."""

    @property
    def name(self) -> str:
        """What they are called."""
        ...

    @property
    def targets(self) -> npt.NDArray[Any]:
        """What is right for each row; see :attr:`Split.targets`."""
        ...

    @property
    def paired(self) -> bool:
        """Whether rows are pairs of sentences."""
        ...

    @property
    def text_digest(self) -> str:
        """Hash of the texts."""
        ...

    def digest(self) -> str:
        """Hash of texts and labels."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...

    def chunks(self, size: int) -> Iterator[Texts]:
        """The texts in order, about ``size`` rows at a time."""
        ...


@dataclass(frozen=True)
class Split:
    """Rows of one split, in the order of their source.

    Args:
        name: ``train``, ``validation`` or ``test``.
        texts: the text of each row, or the first sentence of a pair.
        labels: what is right for each row: an index into the task's labels, a number, or a tuple
            of indices.
        pairs: the second sentence of each row, or ``None`` for single sentences.
        outputs: how many labels there are, where a row may have several.
    """

    name: str
    texts: list[str]
    labels: list[Any]
    pairs: list[str] | None = None
    outputs: int | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def paired(self) -> bool:
        """Whether rows are pairs of sentences."""
        return self.pairs is not None

    @property
    def targets(self) -> npt.NDArray[Any]:
        """The labels as an array.

        Indices are int64 (N,) and numbers float32 (N,); where a row may have several labels it is
        0 and 1 for each of them, float32 (N, C).
        """
        if self.outputs is None:
            numbers = any(isinstance(label, float) for label in self.labels)
            return np.asarray(self.labels, dtype=np.float32 if numbers else np.int64)
        found = np.zeros((len(self), self.outputs), dtype=np.float32)
        for row, indices in enumerate(self.labels):
            found[row, list(indices)] = 1
        return found

    def chunks(self, size: int) -> Iterator[Texts]:
        """The texts and second sentences in order, ``size`` rows at a time."""
        for start in range(0, len(self), size):
            pairs = None if self.pairs is None else self.pairs[start : start + size]
            yield self.texts[start : start + size], pairs

    @cached_property
    def text_digest(self) -> str:
        """SHA-256 (hex) of the texts and pairs: what tokenised data are cached by."""
        pairs = None if self.pairs is None else digest.of_texts(self.pairs)
        return digest.of_json([digest.of_texts(self.texts), pairs])

    @cached_property
    def _digest(self) -> str:
        return digest.of_json([self.text_digest, self.labels])

    def digest(self) -> str:
        """SHA-256 (hex) of texts, pairs and labels; the name does not count."""
        return self._digest

    def take(self, rows: Sequence[int]) -> Split:
        """The rows with these numbers, in the order given."""
        pairs = self.pairs
        return Split(
            name=self.name,
            texts=[self.texts[row] for row in rows],
            labels=[self.labels[row] for row in rows],
            pairs=None if pairs is None else [pairs[row] for row in rows],
            outputs=self.outputs,
        )

    def renamed(self, name: str) -> Split:
        """The same rows under another name."""
        return replace(self, name=name)


def named(label: Any, names: Sequence[str]) -> Any:
    """A row's label as data have it: a name, a list of names, or the number that it is."""
    if isinstance(label, tuple):
        return [names[index] for index in label]
    return label if isinstance(label, float) else names[label]


@dataclass(frozen=True)
class TaskData:
    """A task's rows.

    Args:
        train: learned from.
        validation: chooses checkpoints.
        test: scored at the end only; ``None`` where the data have none with labels.
        labels: label names in the order of their integers.
        more: further rows by name, scored at the end only.
        notes: sentences for the person: rows held out, splits left aside, limits drawn.
        bad: rows that were set aside, as they cannot be used.
    """

    train: Split
    validation: Split
    test: Split | None
    labels: tuple[str, ...]
    more: dict[str, Split] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
