"""From the outputs of a task's head to predictions, in numpy; every kind has a decoder.

Legend: N texts, R inputs of the model (windows, where texts are long), L length, C outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.errors import ModelError
from distill.text.encoding import Encoded, TextEncoder

Logits = npt.NDArray[np.float32]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """Texts as a model reads them.

    Args:
        texts: N texts.
        pairs: the N second texts, where the model takes pairs.
        rows: R rows of tokens, in the order of the texts.
        parts: which part of which text each row is, as the decoder needs it.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None
    rows: Sequence[Encoded]
    parts: Any = None


class Decoder(ABC):
    """Reads texts for a bundle's model, and turns its outputs into predictions.

    Args:
        labels: label names in the order of the outputs.
        settings: the task's settings, as the bundle's description has them.
        max_length: tokens that the model reads, special ones included.
        folder: the bundle, for files that the settings name, and for messages.

    Raises:
        ModelError: the settings cannot be used.
    """

    #: Whether :meth:`vectors` gives vectors.
    gives_vectors = False

    def __init__(
        self, labels: Sequence[str], settings: Mapping[str, Any], *, max_length: int, folder: Path
    ) -> None:
        self.labels = tuple(labels)
        self.settings = settings
        self.max_length = max_length
        self.folder = folder

    def inputs(
        self, encoder: TextEncoder, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> Inputs:
        """Tokenise texts, each to one row unless the kind reads long texts in windows.

        Args:
            encoder: the bundle's tokenizer.
            texts: N texts.
            pairs: the N second texts, where the model takes pairs.

        Raises:
            DataError: a text is not valid Unicode.
        """
        return Inputs(texts, pairs, encoder.encode(texts, pairs))

    def logits(self, raw: Logits) -> Logits:
        """The task's outputs (N, C) made of those of the graph (N, D); mostly the same.

        Args:
            raw: what the graph gives.
        """
        return raw

    def vectors(self, raw: Logits, *, whiten: bool = True) -> Logits:
        """Vectors (N, K) made of what a sentence encoder's graph gives.

        Args:
            raw: (N, D).
            whiten: whether they are whitened, where the bundle has a whitening.

        Raises:
            ModelError: the bundle is no sentence encoder's.
        """
        raise ModelError(
            f"{self.folder}: this bundle's task gives no vectors; name a sentence encoder's "
            "(task.kind: vectors)"
        )

    @abstractmethod
    def predictions(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[dict[str, Any]]:
        """What the model predicts for every text, ready for JSON.

        Args:
            inputs: from :meth:`inputs`.
            outputs: what the graph gives for each of its R rows, (D,) or (L, C).

        Returns:
            One mapping for each of the N texts.
        """

    @abstractmethod
    def line(self, prediction: Mapping[str, Any]) -> str:
        """A prediction in a few words, for people.

        Args:
            prediction: one of those that :meth:`predictions` gives.
        """


class TextDecoder(Decoder):
    """A decoder of heads with one row of outputs for a whole text, or pair of texts."""

    def predictions(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[dict[str, Any]]:
        """See :meth:`Decoder.predictions`."""
        if not outputs:
            return []
        return self.decode(self.logits(np.stack(outputs)))

    @abstractmethod
    def decode(self, logits: Logits) -> list[dict[str, Any]]:
        """Predictions of logits (N, C), one mapping for each text."""


def softmax(logits: npt.NDArray[Any]) -> Shares:
    """Probabilities (..., C) of logits (..., C), in double precision."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True, initial=-np.inf)
    grown = np.exp(shifted)
    shares: Shares = grown / grown.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: npt.NDArray[Any]) -> Shares:
    """Probabilities of logits, each by itself, in double precision."""
    shares: Shares = 0.5 * (1 + np.tanh(logits.astype(np.float64) / 2))
    return shares


def unit(vectors: npt.NDArray[Any]) -> Logits:
    """Vectors (N, D) of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
