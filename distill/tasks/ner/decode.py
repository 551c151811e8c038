"""Named entities of a text, with their characters.

Legend: N texts, W words of a text, L length of a window, C tags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill.system.errors import DataError, ModelError
from distill.tasks.decoder import Decoder, Inputs, Logits, Page, Shares, Wording, softmax
from distill.tasks.explain import Choice, Read, Target, choose_label
from distill.text.encoding import TextEncoder
from distill.text.tags import OUTSIDE, TagSet
from distill.text.words import Words, WordWindow, default_stride, word_windows, words_of


class NerDecoder(Decoder):
    """The entities of every text.

    Texts of any length are read whole: long ones in windows that overlap.
    """

    explains_words = True
    page = Page("ner", places=True)
    words = Wording(
        gives="its named entities with their characters: {labels}",
        tag="token-classification",
        pipeline="token-classification",
        majority="finding no entity",
        limit="Every entity's score is the mean of its words' probabilities, and not how often "
        "such entities are right.",
        reads="Texts of more than {length} tokens are read in windows that overlap.",
        label="type",
        counted="entities",
        matrix="Rows of the matrix are true entities by type, columns what the model finds in "
        "their place: an entity of the same words and of that type, one that shares but some of "
        "the words, or nothing; the row (nothing) has what it finds where no entity is.",
        decisions=", word by word: sure of its tag",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self.tag_set = TagSet(self.labels, str(self.settings.get("scheme", "bio")))
        except (ValueError, KeyError) as error:
            raise ModelError(f"{self.folder}: not the tags of a tagger ({error})") from error
        self._strict = bool(self.settings.get("strict", True))
        stride = self.settings.get("stride")
        self._stride = default_stride(self.max_length) if stride is None else int(stride)

    @classmethod
    def gives(cls, labels: Sequence[str]) -> str:
        types = dict.fromkeys(label.partition("-")[2] for label in labels if "-" in label)
        return cls.words.gives.format(labels=", ".join(types))

    def inputs(
        self, encoder: TextEncoder, texts: Sequence[str], pairs: Sequence[str] | None
    ) -> Inputs:
        """The windows of every text.

        ``parts`` holds the words of each text and the number of each window's text.
        """
        encodings = encoder.encode(texts, whole=True)
        words = [words_of(*pair) for pair in zip(encodings, texts, strict=True)]
        cut: list[tuple[int, WordWindow]] = [
            (text, window)
            for text, own in enumerate(words)
            for window in word_windows(own, max_length=self.max_length, stride=self._stride)
        ]
        return Inputs(
            texts, None, [window for _, window in cut], parts=(words, [text for text, _ in cut])
        )

    def predictions(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[dict[str, Any]]:
        """Per text ``{"entities": [{"type", "text", "start", "end", "score"}, ...]}``.

        They come in the order of the text, and ``text[start:end]`` is the entity's text
        (characters, not bytes); the score is the mean of the probabilities of its words' tags.
        """
        words: list[Words] = inputs.parts[0]
        shares = self.shares(inputs, outputs)
        return [
            {"entities": self._entities(*one)}
            for one in zip(inputs.texts, words, shares, strict=True)
        ]

    def tags(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[list[tuple[int, int, str]]]:
        """The tag of every word of every text: its first character, the one behind, and the tag."""
        words: list[Words] = inputs.parts[0]
        shares = self.shares(inputs, outputs)
        return [
            [
                (start, end, self.labels[tag])
                for start, end, tag in zip(text.starts, text.ends, own.argmax(axis=-1), strict=True)
            ]
            for text, own in zip(words, shares, strict=True)
        ]

    def shares(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[Shares]:
        """The probabilities of the tags of each text's words, (W, C) each."""
        words, texts = inputs.parts
        shares = [np.zeros((len(own), len(self.labels))) for own in words]
        for text, window, logits in zip(texts, inputs.rows, outputs, strict=True):  # (L, C)
            shares[text][window.words] = softmax(logits[window.positions])  # type: ignore[attr-defined]
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

    @classmethod
    def explain(cls, read: Read, asked: Choice, word: str | None = None) -> Target:
        """Of one token its tag's logit minus the other tags' mean.

        Without a place or a word it is the surest token with an entity's tag (without any, the
        surest of all), without a tag its likeliest.
        """
        shares = softmax(read.logits)  # (L, C)
        at = cls._token(read, asked.place, shares, word)
        outputs = dict(zip(read.labels, shares[at].tolist(), strict=True))
        label = choose_label(outputs, asked.label, "--label")
        number = list(read.labels).index(label)
        others = [k for k in range(len(read.labels)) if k != number]
        place = read.place(at, at)
        return Target(
            words=f"the logit of '{label}' at '{read.words(place)}' minus the mean of the other "
            "labels' logits",
            number=lambda logits: logits[:, at, number] - logits[:, at, others].mean(-1),
            outputs=outputs,
            predicted=max(outputs, key=lambda name: outputs[name]),
            choice=Choice(label, place),
        )

    @staticmethod
    def _token(
        read: Read, place: tuple[int, int, int] | None, shares: Shares, word: str | None
    ) -> int:
        if place is not None:
            return read.token(place[0], place[1])
        real = [at for at, text in enumerate(read.encoded.sequence_ids(0)) if text is not None]
        if word is not None:
            for at in real:
                text, start, _ = read.place(at, at)
                if read.texts[text].startswith(word, start):
                    return at
            raise DataError(f"--word: '{word}' is not in what the model reads of the text")
        entities = [at for at in real if read.labels[int(shares[at].argmax())] != OUTSIDE]
        return max(entities or real, key=lambda at: float(shares[at].max()))

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``location: New York (98.1%)``, one after the other, or ``-`` where there are none."""
        return (
            ", ".join(
                f"{entity['type']}: {' '.join(entity['text'].split())} ({entity['score']:.1%})"
                for entity in prediction["entities"]
            )
            or "-"
        )


DECODER = NerDecoder
