"""Named entities of a text, with their characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.errors import ModelError
from distill.runtime.manifest import Manifest
from distill.runtime.model import BundleModel
from distill.runtime.tasks.classification import softmax
from distill.text.tags import TagSet
from distill.text.words import Words, WordWindow, default_stride, word_windows, words_of

# Legend: W words of a text, L length of a window, C tags.

Shares = npt.NDArray[np.float64]


class Tagger(BundleModel):
    """A bundle that finds entities; see :class:`~distill.runtime.model.BundleModel`.

    Texts of any length are read whole: long ones in windows that overlap.

    Attributes:
        tag_set: the tags, and the entities that they spell.
    """

    task: ClassVar[str] = "ner"

    def __init__(
        self, manifest: Manifest, *, format: str | None = None, threads: int | None = None
    ) -> None:
        super().__init__(manifest, format=format, threads=threads)
        settings = manifest.settings
        try:
            self.tag_set = TagSet(manifest.labels, str(settings.get("scheme", "bio")))
        except (ValueError, KeyError) as error:
            raise ModelError(f"{manifest.folder}: not the tags of a tagger ({error})") from error
        self._strict = bool(settings.get("strict", True))
        stride = settings.get("stride")
        self._stride = default_stride(manifest.max_length) if stride is None else int(stride)

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[dict[str, Any]]:
        """Find the entities of every text; see :meth:`BundleModel.predict`.

        Returns:
            Per text ``{"entities": [{"type", "text", "start", "end", "score"}, ...]}`` in the order
            of the text. ``text[start:end]`` is the entity's text (characters, not bytes); the score
            is the mean of the probabilities of its words' tags.

        Example:
            >>> tagger = load("runs/ner")  # doctest: +SKIP
            >>> tagger.predict(["He lives in New York."])  # doctest: +SKIP
            [{'entities': [{'type': 'location', 'text': 'New York', 'start': 12, 'end': 20, ...}]}]
        """
        self._check(texts, pairs)
        words = self._words(texts)
        shares = self._shares(words, batch_size=batch_size, instances=instances)
        return [
            {"entities": self._entities(*row)} for row in zip(texts, words, shares, strict=True)
        ]

    def tags(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[list[tuple[int, int, str]]]:
        """The tag of every word of every text: its first character, the one behind, and the tag."""
        self._check(texts, None)
        words = self._words(texts)
        shares = self._shares(words, batch_size=batch_size, instances=instances)
        return [
            [
                (start, end, self.labels[tag])
                for start, end, tag in zip(row.starts, row.ends, own.argmax(axis=-1), strict=True)
            ]
            for row, own in zip(words, shares, strict=True)
        ]

    def _words(self, texts: Sequence[str]) -> list[Words]:
        encodings = self.encoder.encode_whole(texts)
        return [words_of(*pair) for pair in zip(encodings, texts, strict=True)]

    def _shares(
        self, words: Sequence[Words], *, batch_size: int | None, instances: int | None
    ) -> list[Shares]:
        """The probabilities of the tags of each text's words, (W, C) each."""
        limits = {"max_length": self.manifest.max_length, "stride": self._stride}
        cut: list[tuple[int, WordWindow]] = [
            (row, window) for row, own in enumerate(words) for window in word_windows(own, **limits)
        ]
        logits = self.run([part for _, part in cut], batch_size=batch_size, instances=instances)
        shares = [np.zeros((len(own), len(self.labels))) for own in words]
        for (row, window), scores in zip(cut, logits, strict=True):  # (L, C)
            shares[row][window.words] = softmax(scores[window.positions])
        return shares

    def _entities(self, text: str, words: Words, shares: Shares) -> list[dict[str, Any]]:
        tags = shares.argmax(axis=-1)  # (W,)
        best = shares.max(axis=-1, initial=0.0)  # (W,)
        entities = []
        for span in self.tag_set.read(tags.tolist(), strict=self._strict):
            start, end = words.starts[span.start], words.ends[span.end - 1]
            entities.append(
                {
                    "type": self.tag_set.types[span.type],
                    "text": text[start:end],
                    "start": start,
                    "end": end,
                    "score": float(best[span.start : span.end].mean()),
                }
            )
        return entities

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``location: New York (98.1%)``, one after the other, or ``-`` where there are none."""
        return (
            ", ".join(
                f"{entity['type']}: {' '.join(entity['text'].split())} ({entity['score']:.1%})"
                for entity in prediction["entities"]
            )
            or "-"
        )
