"""Examples of a task, as every source gives them and every stage takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from distill.data.sources.columns import mapped, take
from distill.data.tokenized import Texts, TokenExamples, tokenize
from distill.files.bad_rows import BadRow
from distill.system import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Labels that are read at a time.
_CHUNK = 4096
#: What an example is drawn by where some are held out: the numbers of its labels.
Group = tuple[int, ...]


@dataclass(frozen=True)
class Split:
    """Examples of one split, in the order of their source.

    Attributes:
        per_example: the fields that hold one value for each example.
        labelled: what an example that has no group lacks, for errors.
    """

    name: str
    texts: Sequence[str]  # the text of each example, or the first one of a pair
    # an index into the task's labels, a number, or a tuple of indices for each example
    labels: Sequence[Any]
    pairs: Sequence[str] | None = None
    outputs: int | None = None  # how many labels there are, where an example may have several
    # the row of the source that each example was, where some were taken out
    numbers: npt.NDArray[np.int64] | None = None
    # what a teacher that ran elsewhere predicted for each: its logits, or vectors
    given: Sequence[Sequence[float]] | None = None

    per_example: ClassVar[tuple[str, ...]] = ("texts", "labels", "pairs", "given")
    labelled: ClassVar[str] = "label"

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def paired(self) -> bool:
        return self.pairs is not None

    @property
    def targets(self) -> npt.NDArray[Any]:
        """The labels as an array.

        Indices are int64 (N,) and numbers float32 (N,); where an example may have several labels
        it is 0 and 1 for each of them, float32 (N, C).
        """
        if self.outputs is None:
            return np.asarray(self.labels, dtype=np.float32 if self._numbers else np.int64)
        found = np.zeros((len(self), self.outputs), dtype=np.float32)
        for row, indices in enumerate(self.labels):
            found[row, list(indices)] = 1
        return found

    @property
    def _numbers(self) -> bool:
        return len(self.labels) > 0 and isinstance(self.labels[0], float)

    @property
    def groups(self) -> Sequence[Group] | None:
        """The labels of each example, or ``None`` where examples have a number each."""
        return (
            None
            if self._numbers
            else mapped(self.labels, lambda label: label if isinstance(label, tuple) else (label,))
        )

    def group_names(self, labels: Sequence[str]) -> Sequence[str]:
        """The names of the groups, by the task's labels; empty where they have none."""
        return labels

    def encode(self, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> TokenExamples:
        """What models read of the examples, and their labels.

        Raises:
            DataError: the examples cannot be read with this tokenizer and length.
        """
        return tokenize(self, tokenizer, max_length=max_length)

    def chunks(self, size: int) -> Iterator[Texts]:
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
        starts = range(0, len(self.labels), _CHUNK)
        parts = (json.dumps(list(self.labels[start : start + _CHUNK])) for start in starts)
        return digest.of_json([self.text_digest, digest.of_texts(parts)])

    def digest(self) -> str:
        """SHA-256 (hex) of texts, pairs and labels; the name does not count."""
        return self._digest

    @cached_property
    def given_digest(self) -> str | None:
        """SHA-256 (hex) of what a teacher that ran elsewhere gave; ``None`` where none did."""
        given = self.given
        if given is None:
            return None
        starts = range(0, len(given), _CHUNK)
        return digest.of_texts(json.dumps(list(given[start : start + _CHUNK])) for start in starts)

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """The examples with these numbers, in the order given."""
        kept: dict[str, Any] = {"numbers": None}
        for name in self.per_example:
            if values := getattr(self, name):  # pairs and similarities may not be known
                kept[name] = take(values, rows)
        return replace(self, **kept)


def named(label: Any, names: Sequence[str]) -> Any:
    """An example's label as data have it: a name, a list of names, or the number that it is."""
    if isinstance(label, tuple):
        return [names[index] for index in label]
    return label if isinstance(label, float) else names[label]


def shared_with_training(splits: Mapping[str, Split]) -> list[str]:
    """One sentence for each split that has texts of the training examples in it.

    A model may know them by heart, so scores on them flatter.
    """
    train = _keys(splits["train"])
    notes = []
    for role, split in splits.items():
        count = 0 if role == "train" else int(np.isin(_keys(split), train).sum())
        if count:
            notes.append(
                f"{split.name}: {count:,} of {len(split):,} examples stand in the training "
                "examples too (the same text); scores on them flatter"
            )
    return notes


def _keys(split: Split) -> npt.NDArray[np.int64]:
    # Hashes stand for the texts: a set of texts would be large.
    both = split.texts if split.pairs is None else zip(split.texts, split.pairs, strict=True)
    return np.fromiter(map(hash, both), dtype=np.int64, count=len(split))


@dataclass(frozen=True)
class TaskData:
    """A task's examples."""

    train: Split
    validation: Split  # chooses checkpoints
    test: Split | None  # scored at the end only; ``None`` where the data have none with labels
    labels: tuple[str, ...]
    # further examples by name, scored at the end only
    more: dict[str, Split] = field(default_factory=dict)
    # sentences for the person: rows held out, splits left aside, limits drawn
    notes: list[str] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
