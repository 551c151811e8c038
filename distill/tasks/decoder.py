"""From the outputs of a task's head to predictions, in numpy; every kind has a decoder.

Legend: N texts, R inputs of the model (windows, where texts are long), L length, C outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.system.errors import ModelError
from distill.tasks.explain import Choice, Read, Target, choose_label
from distill.text.encoding import Encoded, TextEncoder

Logits = npt.NDArray[np.float32]
Shares = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Inputs:
    """Texts as a model reads them."""

    texts: Sequence[str]
    # the N second texts, where the model takes pairs, or lists of candidates
    pairs: Sequence[Any] | None
    rows: Sequence[Encoded]  # R rows of tokens, in the order of the texts
    parts: Any = None  # which part of which text each row is, as the decoder needs it


@dataclass(frozen=True)
class Scatter:
    """A picture of predictions that are numbers; on the same scale errors have a size."""

    title: str
    x: str
    y: str
    same_scale: bool


@dataclass(frozen=True)
class Wording:
    """What the report and the model card say of a kind of task."""

    gives: str  # what a text is given, with ``{labels}``; see :meth:`Decoder.gives`
    tag: str = "text-classification"  # what the kind is called on the model hub
    pipeline: str = "text-classification"  # which of transformers' pipelines runs the model
    # the class of transformers that loads it and what is read of its output, where no pipeline
    # does
    auto_model: tuple[str, str] | None = None
    example: tuple[str, str] = ("some text", "its second sentence")  # a text, and a second one
    majority: str = "the majority class"  # what needs no model
    # what the model should be known for not doing
    limit: str = (
        "It answers with one of its labels, whatever it is given; texts unlike the training data "
        "get confident answers too."
    )
    # how long texts are read, with ``{length}`` in tokens and ``{pair}``
    reads: str = "Only the first {length} tokens {pair}are read."
    label: str = "label"  # what precision and recall are by
    counted: str = "examples"  # what they count
    # what the rows and columns of the confusion matrix are
    matrix: str = (
        "Rows of the matrix are true labels, columns what the model predicts; a cell is as strong "
        "as its share of the row."
    )
    decisions: str = ""  # what calibration is of, where it is not an example's label
    # what a confidence and its truth are called
    confidence: tuple[str, str] = ("confidence", "correct")
    # which examples show where ``{model}`` and the teacher differ
    differ: str = (
        "Below are examples where {model} is surest of its answer; a tick marks who is right."
    )
    scatter: Scatter | None = None  # how predictions that are numbers are drawn


@dataclass(frozen=True)
class Page:
    """How the page of ``distill demo`` reads a model's outputs."""

    reader: str  # a key of ``READERS`` in ``distill/export/page/readers.mjs``, which does the same
    names: tuple[str, str] = ("Text", "Second text")  # what the fields of the texts are called
    lines: bool = False  # whether the second field holds texts, one a line
    places: bool = False  # whether the characters of tokens are found


@dataclass(eq=False)
class Decoder(ABC):
    """Reads texts for a bundle's model, and turns its outputs into predictions.

    Raises:
        ModelError: the settings cannot be used.
    """

    labels: Sequence[str]  # label names in the order of the outputs
    settings: Mapping[str, Any]
    # tokens that the model reads, special ones included
    max_length: int = field(default=512, kw_only=True)
    # the bundle, for files that the settings name, and for messages
    folder: Path = field(default=Path(), kw_only=True)

    #: What the report and the model card say of the kind.
    words: ClassVar[Wording]
    #: How a page predicts; a subclass that does not name one has none.
    page: ClassVar[Page | None] = None
    #: Whether :meth:`vectors` gives vectors.
    gives_vectors: ClassVar[bool] = False
    #: Whether an input is always two texts.
    always_pairs: ClassVar[bool] = False
    #: Whether predictions are made of a text with a list of candidates in the second one's place.
    takes_candidates: ClassVar[bool] = False
    #: Whether :meth:`explain` works on it, and whether on a word; whether its outputs are
    #: probabilities, and whether they have names that two models of one task share.
    explains: ClassVar[bool] = True
    explains_words: ClassVar[bool] = False
    probabilities: ClassVar[bool] = True
    named_outputs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Prepare what the settings say."""
        self.labels = tuple(self.labels)

    @classmethod
    def gives(cls, labels: Sequence[str]) -> str:
        """What a text is given, in a few words."""
        named = f"{len(labels)} labels: {', '.join(labels)}"
        return cls.words.gives.format(labels=named if labels else "the labels in `config.json`")

    @classmethod
    def second_texts(cls) -> list[str]:
        """The second texts of an example of :class:`Wording`, for a model of pairs."""
        _, second = cls.words.example
        return [second, "another one"] if cls.takes_candidates else [second]

    def inputs(
        self, encoder: TextEncoder, texts: Sequence[str], pairs: Sequence[Any] | None
    ) -> Inputs:
        """Tokenise texts, each to one row unless the kind reads long texts in windows.

        Raises:
            DataError: a text is not valid Unicode.
        """
        return Inputs(texts, pairs, encoder.encode(texts, pairs))

    def logits(self, raw: Logits) -> Logits:
        """The task's outputs (N, C) made of those of the graph (N, D); mostly the same."""
        return raw

    def vectors(self, raw: Logits, *, whiten: bool = True, dim: int | None = None) -> Logits:
        """Vectors (N, K) made of what a sentence encoder's graph gives.

        Args:
            raw: (N, D).
            whiten: whether they are whitened, where the bundle has a whitening.
            dim: K, the first so many dimensions; ``None`` takes what :meth:`use` said, else all.

        Raises:
            ModelError: the bundle is no sentence encoder's.
            DataError: the vectors were not trained to be cut to ``dim``.
        """
        raise self._no_vectors()

    def use(self, *, dim: int | None = None, prompt: str | None = None) -> None:
        """Choose the width of vectors, and what is put before texts, for all that follows.

        Raises:
            ModelError: the bundle is no sentence encoder's, or knows no such prompt.
            DataError: the vectors were not trained to be cut to ``dim``.
        """
        if dim is not None or prompt is not None:
            raise self._no_vectors()

    @property
    def used(self) -> dict[str, Any]:
        """What :meth:`use` chose, for the record of a job."""
        return {}

    def prompted(self, texts: Sequence[str], prompt: str | None) -> Sequence[str]:
        """Texts with the bundle's prompt before them, where it has some.

        Args:
            texts: N texts.
            prompt: its name, ``""`` for none; ``None`` takes what :meth:`use` said, else the first.

        Raises:
            ModelError: the bundle knows no such prompt.
        """
        return texts

    def _no_vectors(self) -> ModelError:
        return ModelError(
            f"{self.folder}: this bundle's task gives no vectors; name a sentence encoder's "
            "(task.kind: vectors)"
        )

    @abstractmethod
    def predictions(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[dict[str, Any]]:
        """What the model predicts for each of N texts, ready for JSON.

        Args:
            inputs: from :meth:`inputs`.
            outputs: what the graph gives for each of its R rows, (D,) or (L, C).
        """

    @classmethod
    def explain(cls, read: Read, asked: Choice, word: str | None = None) -> Target:
        """What a model predicts for a text, and which number of that is explained.

        Args:
            read: the text as the model reads it.
            asked: what is explained; what it leaves open is chosen.
            word: of a model that tags words, the one whose tag is explained.

        Raises:
            ModelError: there is no such output.
            DataError: there is no such word.
        """
        raise NotImplementedError

    @abstractmethod
    def line(self, prediction: Mapping[str, Any]) -> str:
        """A prediction in a few words, for people."""


class TextDecoder(Decoder):
    """A decoder of heads with one row of outputs for a whole text, or pair of texts."""

    def predictions(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[dict[str, Any]]:
        if not outputs:
            return []
        return self.decode(self.outputs(self.logits(np.stack(outputs))))

    @abstractmethod
    def outputs(self, logits: Logits) -> Shares:
        """What logits (N, C) mean: the probability of each label, or the value."""

    @abstractmethod
    def chosen(self, outputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """What is predicted by outputs (N, C).

        It is a label (N,), whether each label is predicted (N, C), or a number (N,).
        """

    @abstractmethod
    def in_words(self, chosen: Any) -> str:
        """One of those that :meth:`chosen` gives, in words."""

    @classmethod
    def explain(cls, read: Read, asked: Choice, word: str | None = None) -> Target:
        decoder = cls(read.labels, read.settings)
        values = decoder.outputs(read.logits[None])  # (1, C)
        outputs = dict(zip(read.labels, values[0].tolist(), strict=True))
        label = choose_label(outputs, asked.label, read.where)
        words, number = decoder.explained(label)
        predicted = decoder.in_words(decoder.chosen(values)[0])
        return Target(words, number, outputs, predicted, Choice(label))

    @abstractmethod
    def explained(self, label: str) -> tuple[str, Callable[[Any], Any]]:
        """Which number stands for a label: in words, and as a function of logits (S, C)."""

    @abstractmethod
    def decode(self, outputs: Shares) -> list[dict[str, Any]]:
        """Predictions of outputs (N, C), one mapping for each text."""


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
