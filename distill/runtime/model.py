"""A bundle that is loaded: texts in, predictions out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from distill.runtime.backends import ENGINES, Session, choose, is_installed, open_session
from distill.runtime.manifest import Manifest
from distill.runtime.workers import BATCH_SIZE, Tuned, compute
from distill.system.errors import DataError
from distill.system.processor import processor
from distill.tasks import make_decoder
from distill.tasks.decoder import unit
from distill.text.encoding import Encoded, TextEncoder

logger = logging.getLogger("distill")

# Legend: N texts, B batch, L length, C outputs of the task, K width of vectors.

Floats = npt.NDArray[np.float32]


class Batching(TypedDict, total=False):
    """How many texts are computed."""

    batch_size: int | None
    """Rows computed at once; ``None`` takes the tuned number, else 32."""
    instances: int | None
    """Batches computed at the same time, each on one thread; ``None`` takes the tuned number where
    there are enough rows, else one batch at a time on all threads."""


class BundleModel:
    """A bundle that is loaded and ready; see :func:`distill.runtime.load`.

    Attributes:
        decoder: reads texts and makes predictions of outputs, as the task's kind does; see
            :class:`distill.tasks.decoder.Decoder`.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        format: str | None = None,
        threads: int | None = None,
        dim: int | None = None,
        prompt: str | None = None,
    ) -> None:
        self.manifest = manifest
        self.labels = manifest.labels
        self.decoder = make_decoder(
            manifest.task,
            manifest.labels,
            manifest.settings,
            max_length=manifest.max_length,
            folder=manifest.folder,
        )
        self.decoder.use(dim=dim, prompt=prompt)
        self.tuned = Tuned.of(manifest) if format is None and threads is None else Tuned()
        chosen = format or str(self.tuned.latency.get("format") or manifest.default)
        # A format that was asked for is not replaced: an error says what is missing.
        runnable = any(name in ENGINES for name in manifest.formats)
        self.format = choose(manifest.formats, chosen) if format is None and runnable else chosen
        self.encoder = TextEncoder(
            manifest.folder, max_length=manifest.max_length, pad_id=manifest.pad_id
        )
        path = manifest.file(self.format)
        _check_processor(manifest, self.format)
        threads = threads or self.tuned.latency.get("threads")
        self._session = open_session(self.format, path, threads, settings=self.tuned.latency)
        self._sessions: dict[int, Session] = {}

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | Sequence[Sequence[str]] | None = None,
        **batching: Unpack[Batching],
    ) -> list[dict[str, Any]]:
        """What the model predicts for every text, ready for JSON.

        Args:
            texts: N texts; of question answering the questions.
            pairs: the N second texts, where the model takes pairs; the texts that answer; of a
                ranking a list of candidates for each query.
            **batching: see :class:`Batching`.

        Returns:
            One mapping for each text, in the order of the texts; the decoder of the task's kind
            says what it holds.

        Raises:
            DataError: the texts are not a list of strings, or pairs are missing, too many, or given
                to a model of single texts.
        """
        self.check(texts, pairs)
        if not len(texts):
            return []
        inputs = self.decoder.inputs(self.encoder, texts, pairs)
        return self.decoder.predictions(inputs, self.run(inputs.rows, **batching))

    def logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        **batching: Unpack[Batching],
    ) -> Floats:
        """The task's outputs (N, C) for N texts, of kinds that have one row of them for a text.

        Raises:
            DataError: see :meth:`predict`.
        """
        return self.decoder.logits(self._raw(texts, pairs, **batching))

    def _raw(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        **batching: Unpack[Batching],
    ) -> Floats:
        """What the graph gives for every text, (N, D)."""
        self.check(texts, pairs, lists=False)
        if not len(texts):
            return np.zeros((0, self._width), dtype=np.float32)
        return np.stack(self.run(self.encoder.encode(texts, pairs), **batching))

    @cached_property
    def _width(self) -> int:
        """D: as many as one empty text gets."""
        pair = [""] if self.manifest.pair else None
        return int(self.run(self.encoder.encode([""], pair))[0].shape[-1])

    def encode(
        self,
        texts: Sequence[str],
        *,
        whiten: bool = True,
        dim: int | None = None,
        prompt: str | None = None,
        **batching: Unpack[Batching],
    ) -> Floats:
        """A vector for every text, by a sentence encoder's bundle.

        Args:
            texts: N texts.
            whiten: whether vectors are whitened, where the bundle has a whitening.
            dim: K, to how many dimensions they are cut; ``None`` takes what it was loaded with.
            prompt: the name of the prompt before every text, ``""`` for none; ``None`` takes what
                it was loaded with, else ``query`` where there are prompts.
            **batching: see :class:`Batching`.

        Returns:
            (N, K), of length 1 unless the recipe says otherwise.

        Raises:
            DataError: the texts are not a list of strings, or ``dim`` was not trained.
            ModelError: the bundle is no sentence encoder's, or knows no such prompt.

        Example:
            >>> load("runs/stsb-vectors").encode(["A man plays."]).shape  # doctest: +SKIP
            (1, 384)
        """
        self.check(texts, lists=False)
        raw = self._raw(self.decoder.prompted(texts, prompt), **batching)  # (N, D)
        return self.decoder.vectors(raw, whiten=whiten, dim=dim)

    def similarity(
        self,
        texts: Sequence[str],
        pairs: Sequence[str],
        *,
        prompt: str | None = None,
        **batching: Unpack[Batching],
    ) -> Floats:
        """The cosine (N,) between each of N texts and the other one in its place, from -1 to 1.

        ``prompt`` is the name of the one before the others; left out, the one that second texts
        were trained with.

        Raises:
            DataError: not as many of both, or they are not lists of strings.
            ModelError: the bundle is no sentence encoder's.
        """
        self.check(texts, lists=False)
        _check_texts("pairs", pairs)
        _check_count(texts, pairs)
        # Together, so that a text that stands there often is computed with others of its length.
        second = next(reversed(self.manifest.settings.get("prompts", {})), None)
        both = [
            *self.decoder.prompted(texts, None),
            *self.decoder.prompted(pairs, second if prompt is None else prompt),
        ]
        vectors = unit(self.encode(both, prompt="", **batching))
        return np.asarray((vectors[: len(texts)] * vectors[len(texts) :]).sum(axis=1))

    def run(
        self,
        rows: Sequence[Encoded],
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[Floats]:
        """The outputs of each row of tokens: (C,), or (L, C) of a head that looks at each token.

        Arguments are those of :class:`Batching`.
        """
        for name, number in (("batch_size", batch_size), ("instances", instances)):
            if number is not None and number < 1:
                raise DataError(f"{name} is {number}; it must be 1 or more")
        if not rows:
            return []
        tuned = self.tuned.throughput
        size = batch_size or int(tuned.get("batch_size", BATCH_SIZE))
        many = len(rows) > size
        session, count = self._session, 1
        if instances is None and tuned and many:
            session, count = self._for_many(int(tuned["threads"])), int(tuned["instances"])
        elif instances is not None and instances > 1:
            session, count = self._for_many(1), instances
        multiple = int(tuned.get("padding_multiple", 1)) if many else 1
        return compute(
            session, rows, self.encoder, instances=count, batch_size=size, multiple=multiple
        )

    def _for_many(self, threads: int) -> Session:
        """The session for many examples, which is opened when first asked for."""
        if threads not in self._sessions:
            settings = self.tuned.throughput
            format = str(settings.get("format", self.format))
            if format not in self.manifest.formats or not is_installed(format):
                format = self.format
            path = self.manifest.file(format)
            self._sessions[threads] = open_session(format, path, threads, settings=settings)
        return self._sessions[threads]

    def check(
        self, texts: Sequence[str], pairs: Sequence[Any] | None = None, *, lists: bool | None = None
    ) -> None:
        """Refuse what :meth:`predict` does not take.

        Whether pairs are lists (of candidates) is left to the kind of task where ``lists`` is
        ``None``.

        Raises:
            DataError: see there.
        """
        _check_texts("texts", texts)
        if pairs is None:
            if self.manifest.pair:
                raise DataError("this model compares two texts; give the second ones as pairs")
            return
        if self.decoder.takes_candidates if lists is None else lists:
            for index, candidates in enumerate(pairs):
                _check_texts(f"pairs[{index}]", candidates, "give a list of the query's candidates")
        else:
            _check_texts("pairs", pairs)
        if not self.manifest.pair:
            raise DataError("this model takes single texts; leave the pairs out")
        _check_count(texts, pairs)


def _check_count(texts: Sequence[str], pairs: Sequence[Any]) -> None:
    if len(pairs) != len(texts):
        raise DataError(f"{len(texts)} texts but {len(pairs)} pairs; one for each is needed")


def _check_texts(name: str, given: Any, advice: str = "give a list of strings") -> None:
    if isinstance(given, str):
        raise DataError(f"{name} is one string; {advice}")
    if not hasattr(given, "__len__"):
        raise DataError(f"{name} is a {type(given).__name__}; {advice}")
    for index, text in enumerate(given):
        if not isinstance(text, str):
            raise DataError(f"{name}[{index}] is a {type(text).__name__}, not a string")


def _check_processor(manifest: Manifest, format: str) -> None:
    """Warn of a format whose integer sums can overflow on this processor."""
    if manifest.formats[format].get("weight_bits") == 8 and processor().overflows_int8:
        logger.warning(
            "%s: '%s' has weights of 8 bits, made on a processor with %s; this one has no VNNI, "
            "where their products overflow and answers differ: quantise with weight_bits 7",
            manifest.folder,
            format,
            ", ".join(manifest.isa) or "unknown instruction sets",
        )
