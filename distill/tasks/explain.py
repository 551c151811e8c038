"""Which number of a model's outputs is explained for one text; see ``distill inspect``.

Legend: S texts, L tokens, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.system.errors import ModelError


@dataclass(frozen=True)
class Choice:
    """What is explained, so that another model can be explained for the same."""

    label: str = ""  # the label; empty where there is none
    # of outputs by token: which text (0 or 1), and the first and last character in it
    place: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Read:
    """A text as a model reads it."""

    texts: Sequence[str]
    encoded: Any  # both as tokens, a ``BatchEncoding`` of transformers
    logits: npt.NDArray[np.float32]
    labels: Sequence[str]
    settings: Mapping[str, Any]
    where: str  # the model's folder, for messages

    def place(self, first: int, last: int) -> tuple[int, int, int]:
        """Which text some tokens are of, and their first and last character in it."""
        text = self.encoded.sequence_ids(0)[first]
        begins = self.encoded.token_to_chars(0, first)
        ends = self.encoded.token_to_chars(0, last)
        if begins is None or ends is None:
            raise ModelError("the tokenizer does not tell which characters its tokens are of")
        return int(text or 0), int(begins.start), int(ends.end)

    def token(self, text: int, character: int) -> int:
        """The token that a character is of."""
        at = self.encoded.char_to_token(0, character, sequence_index=text)
        if at is None:
            raise ModelError(
                "the other model does not read the place that is explained; give a shorter text"
            )
        return int(at)

    def words(self, place: tuple[int, int, int]) -> str:
        """The text of a place."""
        return self.texts[place[0]][place[1] : place[2]]


@dataclass(frozen=True)
class Target:
    """What a model predicts, and the number that is explained."""

    words: str  # the number in words
    # the number as a function of torch's logits (S, C) or (S, L, C); gives (S,)
    number: Callable[[Any], Any]
    outputs: dict[str, float]
    predicted: str
    choice: Choice


def choose_label(outputs: Mapping[str, float], asked: str, where: str) -> str:
    """The label that is explained: the one asked for, else the one with the largest output.

    Raises:
        ModelError: there is no such label.
    """
    if not asked:
        return max(outputs, key=lambda label: outputs[label])
    if asked not in outputs:
        raise ModelError(f"{where}: no label '{asked}'; it has {', '.join(outputs)}")
    return asked
