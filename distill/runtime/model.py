"""A bundle that is loaded: texts in, predictions out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.runtime.backends import ENGINES, choose, is_installed, open_session
from distill.runtime.manifest import Manifest
from distill.runtime.workers import BATCH_SIZE, Tuned, Workers
from distill.system.errors import DataError
from distill.system.processor import processor
from distill.tasks import make_decoder
from distill.tasks.decoder import unit
from distill.text.encoding import Encoded, TextEncoder

logger = logging.getLogger("distill")

# Legend: N texts, B batch, L length, C outputs of the task, K width of vectors.

Floats = npt.NDArray[np.float32]


class BundleModel:
    """A bundle that is loaded and ready.

    Args:
        manifest: the bundle's description.
        format: the format to run; ``None`` takes the bundle's default.
        threads: threads of one call; ``None`` takes all physical cores. Where neither this nor the
            format is given, what ``distill tune-runtime`` chose is used.
        dim: of a sentence encoder, to how many dimensions its vectors are cut.
        prompt: of a sentence encoder, the name of the prompt before every text.

    Attributes:
        decoder: reads texts and makes predictions of outputs, as the task's kind does; see
            :class:`distill.tasks.decoder.Decoder`.

    Raises:
        ModelError: the bundle is not whole, has no such format or prompt, or its kind of task is
            unknown.
        DataError: its vectors were not trained to be cut to ``dim``.
        UserError: no engine for the bundle's formats is installed.

    Example:
        >>> load("runs/sst2").predict(["a fine film"])[0]["label"]  # doctest: +SKIP
        'positive'
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
        self._workers: dict[tuple[int, int], Workers] = {}

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | Sequence[Sequence[str]] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[dict[str, Any]]:
        """What the model predicts for every text, ready for JSON.

        Args:
            texts: N texts; of question answering the questions.
            pairs: the N second texts, where the model takes pairs; the texts that answer; of a
                ranking a list of candidates for each query.
            batch_size: rows computed at once; ``None`` takes the tuned number, else 32.
            instances: batches computed at the same time, each on one thread; ``None`` takes the
                tuned number where there are enough rows, else one batch at a time on all threads.

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
        outputs = self.run(inputs.rows, batch_size=batch_size, instances=instances)
        return self.decoder.predictions(inputs, outputs)

    def line(self, prediction: Mapping[str, Any]) -> str:
        """A prediction in a few words, for people.

        Args:
            prediction: one of those that :meth:`predict` gives.
        """
        return self.decoder.line(prediction)

    def logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> Floats:
        """The task's outputs for every text, for kinds that have one row of them for a text.

        Args:
            texts: N texts.
            pairs: see :meth:`predict`.
            batch_size: see :meth:`predict`.
            instances: see :meth:`predict`.

        Returns:
            (N, C) in the order of the texts.

        Raises:
            DataError: see :meth:`predict`.
        """
        raw = self._raw(texts, pairs, batch_size=batch_size, instances=instances)
        return self.decoder.logits(raw)

    def _raw(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None,
        instances: int | None,
    ) -> Floats:
        """What the graph gives for every text, (N, D)."""
        self._check(texts, pairs)
        if not len(texts):
            return np.zeros((0, self._width), dtype=np.float32)
        rows = self.encoder.encode(texts, pairs)
        return np.stack(self.run(rows, batch_size=batch_size, instances=instances))

    @cached_property
    def _width(self) -> int:
        """D: as many as one empty text gets."""
        pair = [""] if self.manifest.pair else None
        return int(self.run(self.encoder.encode([""], pair))[0].shape[-1])

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        instances: int | None = None,
        whiten: bool = True,
        dim: int | None = None,
        prompt: str | None = None,
    ) -> Floats:
        """A vector for every text, by a sentence encoder's bundle.

        Args:
            texts: N texts.
            batch_size: see :meth:`predict`.
            instances: see :meth:`predict`.
            whiten: whether vectors are whitened, where the bundle has a whitening.
            dim: K, to how many dimensions they are cut; ``None`` takes what it was loaded with.
            prompt: the name of the prompt before every text, ``""`` for none; ``None`` takes what
                it was loaded with, else ``query`` where there are prompts.

        Returns:
            (N, K), of length 1 unless the recipe says otherwise.

        Raises:
            DataError: the texts are not a list of strings, or ``dim`` was not trained.
            ModelError: the bundle is no sentence encoder's, or knows no such prompt.

        Example:
            >>> load("runs/stsb-vectors").encode(["A man plays."]).shape  # doctest: +SKIP
            (1, 384)
        """
        self._check(texts, None)
        texts = self.decoder.prompted(texts, prompt)
        raw = self._raw(texts, batch_size=batch_size, instances=instances)  # (N, D)
        return self.decoder.vectors(raw, whiten=whiten, dim=dim)

    def similarity(
        self,
        texts: Sequence[str],
        pairs: Sequence[str],
        *,
        batch_size: int | None = None,
        instances: int | None = None,
        prompt: str | None = None,
    ) -> Floats:
        """The cosine between each text and the other one in its place, by a sentence encoder.

        Args:
            texts: N texts.
            pairs: N others.
            batch_size: see :meth:`predict`.
            instances: see :meth:`predict`.
            prompt: the name of the prompt before the others; ``None`` takes the one that second
                texts were trained with.

        Returns:
            (N,), from -1 to 1.

        Raises:
            DataError: not as many of both, or they are not lists of strings.
            ModelError: the bundle is no sentence encoder's.
        """
        self._check(texts, None)
        self._check(pairs, None)
        if len(pairs) != len(texts):
            raise DataError(f"{len(texts)} texts but {len(pairs)} pairs; one for each is needed")
        # Together, so that a text that stands there often is computed with others of its length.
        second = next(reversed(self.manifest.settings.get("prompts", {})), None)
        both = [
            *self.decoder.prompted(texts, None),
            *self.decoder.prompted(pairs, second if prompt is None else prompt),
        ]
        vectors = unit(self.encode(both, batch_size=batch_size, instances=instances, prompt=""))
        return np.asarray((vectors[: len(texts)] * vectors[len(texts) :]).sum(axis=1))

    def run(
        self,
        rows: Sequence[Encoded],
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[Floats]:
        """The outputs of each row: (C,), or (L, C) of a head that looks at each token.

        Args:
            rows: rows of tokens.
            batch_size: rows computed at once; see :meth:`predict`.
            instances: batches computed at the same time; see :meth:`predict`.
        """
        for name, number in (("batch_size", batch_size), ("instances", instances)):
            if number is not None and number < 1:
                raise DataError(f"{name} is {number}; it must be 1 or more")
        if not rows:
            return []
        tuned = self.tuned.throughput
        size = batch_size or int(tuned.get("batch_size", BATCH_SIZE))
        if instances is None and tuned and len(rows) > size:
            workers = self._many(int(tuned["instances"]), int(tuned["threads"]))
        elif instances is not None and instances > 1:
            workers = self._many(instances, 1)
        else:
            workers = Workers(self._session, 1)
        multiple = int(tuned.get("padding_multiple", 1)) if len(rows) > size else 1
        return workers.run(rows, self.encoder, batch_size=size, multiple=multiple)

    def _many(self, instances: int, threads: int) -> Workers:
        """Workers for many examples, which share one session; opened when first asked for."""
        if self._workers.get((instances, threads)) is None:
            settings = self.tuned.throughput
            format = str(settings.get("format", self.format))
            if format not in self.manifest.formats or not is_installed(format):
                format = self.format
            path = self.manifest.file(format)
            session = open_session(format, path, threads, settings=settings)
            self._workers[instances, threads] = Workers(session, instances)
        return self._workers[instances, threads]

    def check(self, texts: Sequence[str], pairs: Sequence[Any] | None) -> None:
        """Refuse what :meth:`predict` does not take.

        Raises:
            DataError: see there.
        """
        self._check(texts, pairs, lists=self.decoder.takes_candidates)

    def _check(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | Sequence[Sequence[str]] | None,
        *,
        lists: bool = False,
    ) -> None:
        _check_texts("texts", texts)
        if pairs is not None and not lists:
            _check_texts("pairs", pairs)
        for index, candidates in enumerate(pairs or () if lists else ()):
            _check_texts(f"pairs[{index}]", candidates, "give a list of the query's candidates")
        if self.manifest.pair and pairs is None:
            raise DataError("this model compares two texts; give the second ones as pairs")
        if pairs is not None:
            if not self.manifest.pair:
                raise DataError("this model takes single texts; leave the pairs out")
            if len(pairs) != len(texts):
                raise DataError(
                    f"{len(texts)} texts but {len(pairs)} pairs; one for each is needed"
                )


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
