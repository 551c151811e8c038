"""A bundle that is loaded: texts in, the outputs of its head out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.errors import DataError, ModelError
from distill.runtime.backends import ENGINES, choose, is_installed, open_session
from distill.runtime.encoding import Encoded, TextEncoder
from distill.runtime.manifest import Manifest
from distill.runtime.workers import BATCH_SIZE, Tuned, Workers

# Legend: N texts, B batch, L length, C outputs of the head.


class BundleModel(ABC):
    """A bundle that is loaded and ready; a task's class says what its outputs mean.

    Attributes:
        task: the kind of task whose bundles it reads.

    Args:
        manifest: the bundle's description.
        format: the format to run; ``None`` takes the bundle's default.
        threads: threads of one call; ``None`` takes all physical cores. Where neither this nor the
            format is given, what ``distill tune-runtime`` chose is used.

    Raises:
        ModelError: the bundle is not whole, has no such format, or solves another task.
        UserError: no engine for the bundle's formats is installed.
    """

    task: ClassVar[str]

    def __init__(
        self, manifest: Manifest, *, format: str | None = None, threads: int | None = None
    ) -> None:
        if manifest.task != self.task:
            raise ModelError(
                f"{manifest.folder}: a bundle for {manifest.task}, not for {self.task}"
            )
        self.manifest = manifest
        self.labels = manifest.labels
        self.tuned = Tuned.of(manifest) if format is None and threads is None else Tuned()
        chosen = format or str(self.tuned.latency.get("format") or manifest.default)
        # A format that was asked for is not replaced: its file or engine is told to be missing.
        runnable = any(name in ENGINES for name in manifest.formats)
        self.format = choose(manifest.formats, chosen) if format is None and runnable else chosen
        self.encoder = TextEncoder(
            manifest.folder, max_length=manifest.max_length, pad_id=manifest.pad_id
        )
        path = manifest.file(self.format)
        threads = threads or self.tuned.latency.get("threads")
        self._session = open_session(self.format, path, threads, settings=self.tuned.latency)
        self._workers: dict[tuple[int, int], Workers] = {}

    def logits(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> npt.NDArray[np.float32]:
        """Compute logits; rows of like length share a batch, so that little is padded.

        Args:
            texts: N texts.
            pairs: the N second texts, where the model takes pairs.
            batch_size: rows computed at once; ``None`` takes the tuned number, else 32.
            instances: batches computed at the same time, each on one thread; ``None`` takes the
                tuned number where there are enough rows, else one batch at a time on all threads.

        Returns:
            (N, C) logits in the order of the texts.

        Raises:
            DataError: the texts are not a list of strings, or pairs are missing, too many, or given
                to a model of single texts.
        """
        self._check(texts, pairs)
        for name, number in (("batch_size", batch_size), ("instances", instances)):
            if number is not None and number < 1:
                raise DataError(f"{name} is {number}; it must be 1 or more")
        if not len(texts):
            return np.zeros((0, self.outputs), dtype=np.float32)  # (N, C)
        rows = self.encoder.encode(texts, pairs)
        return np.stack(self.run(rows, batch_size=batch_size, instances=instances))

    @property
    def outputs(self) -> int:
        """C, how many outputs the head has."""
        return len(self.labels)

    def run(
        self,
        rows: Sequence[Encoded],
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[npt.NDArray[np.float32]]:
        """The outputs of each row: (C,), or (L, C) of a head that looks at each token.

        Args:
            rows: rows of tokens.
            batch_size: rows computed at once; see :meth:`logits`.
            instances: batches computed at the same time; see :meth:`logits`.
        """
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
        """Workers for many rows, which share one session; opened when first asked for."""
        if self._workers.get((instances, threads)) is None:
            settings = self.tuned.throughput
            format = str(settings.get("format", self.format))
            if format not in self.manifest.formats or not is_installed(format):
                format = self.format
            path = self.manifest.file(format)
            session = open_session(format, path, threads, settings=settings)
            self._workers[instances, threads] = Workers(session, instances)
        return self._workers[instances, threads]

    @abstractmethod
    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[dict[str, Any]]:
        """What the task says of every text, ready for JSON.

        Args:
            texts: N texts.
            pairs: the N second texts, where the model takes pairs.
            batch_size: rows computed at once; see :meth:`logits`.
            instances: batches computed at the same time; see :meth:`logits`.

        Returns:
            One mapping per text, in the order of the texts.

        Raises:
            DataError: see :meth:`logits`.
        """

    @abstractmethod
    def line(self, prediction: Mapping[str, Any]) -> str:
        """A prediction in a few words, for people.

        Args:
            prediction: one of those that :meth:`predict` gave.
        """

    def _check(self, texts: Sequence[str], pairs: Sequence[str] | None) -> None:
        for name, given in (("texts", texts), ("pairs", pairs)):
            if given is None:
                continue
            if isinstance(given, str):
                raise DataError(f"{name} is one string; give a list of strings")
            for index, text in enumerate(given):
                if not isinstance(text, str):
                    raise DataError(f"{name}[{index}] is a {type(text).__name__}, not a string")
        if self.manifest.pair and pairs is None:
            raise DataError("this model compares two texts; give the second ones as pairs")
        if pairs is not None:
            if not self.manifest.pair:
                raise DataError("this model takes single texts; leave the pairs out")
            if len(pairs) != len(texts):
                raise DataError(
                    f"{len(texts)} texts but {len(pairs)} pairs; one for each is needed"
                )


class SentenceModel(BundleModel):
    """A bundle whose head says one thing of each text, or pair of texts, as a whole."""

    @abstractmethod
    def told(self, logits: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
        """What the task makes of logits, ready for JSON.

        Args:
            logits: (N, C).

        Returns:
            One mapping per text, in the order of the texts.
        """

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[dict[str, Any]]:
        """What :meth:`told` makes of every text; see :meth:`BundleModel.predict`."""
        return self.told(self.logits(texts, pairs, batch_size=batch_size, instances=instances))
