"""The part of a text that answers a question about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from distill.errors import DataError
from distill.files.bad_rows import is_unicode
from distill.runtime.manifest import Manifest
from distill.runtime.model import BundleModel
from distill.text.questions import Limits, WindowEncoder
from distill.text.spans import Decoding, answer, window_spans


class QuestionAnswerer(BundleModel):
    """A bundle that answers questions; see :class:`~distill.runtime.model.BundleModel`.

    Attributes:
        decoding: how answers are chosen; another may be put here.
    """

    task: ClassVar[str] = "qa"

    def __init__(
        self, manifest: Manifest, *, format: str | None = None, threads: int | None = None
    ) -> None:
        super().__init__(manifest, format=format, threads=threads)
        settings = manifest.settings
        limits = Limits.of(
            manifest.max_length,
            stride=settings.get("stride"),
            max_question=settings.get("max_question_length"),
        )
        self.windows = WindowEncoder(self.encoder.tokenizer(), limits)
        self.decoding = Decoding(
            max_answer=int(settings.get("max_answer_length", Decoding.max_answer)),
            no_answer=bool(settings.get("no_answer", False)),
            threshold=float(settings.get("threshold", 0.0)),
        )

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
        instances: int | None = None,
    ) -> list[dict[str, Any]]:
        """Answer questions, each from its own text; see :meth:`BundleModel.predict`.

        A long text is read in windows that overlap; of a long question only the beginning is.

        Args:
            texts: the questions.
            pairs: the text that answers each.
            batch_size: windows computed at once.
            instances: batches computed at the same time.

        Returns:
            Per question ``answer``, ``start``, ``end`` (``text[start:end]`` is the answer),
            ``score`` (its probability) and ``candidates``: the best answers, the most probable
            first, each with the same four. Where the bundle allows no answer, that is the empty
            text from 0 to 0.

        Example:
            >>> answerer = load("runs/squad")  # doctest: +SKIP
            >>> answerer.predict(["Where is it?"], ["It is in France."])  # doctest: +SKIP
            [{'answer': 'France', 'start': 9, 'end': 15, 'score': 0.98, 'candidates': [...]}]
        """
        self._check(texts, pairs)
        contexts = list(pairs or ())
        for name, given in (("texts", texts), ("pairs", contexts)):
            for index, text in enumerate(given):
                if not is_unicode(text):
                    raise DataError(f"{name}[{index}] is not valid Unicode: {text!a}")
        windows = self.windows.encode(texts, contexts)
        flat = [window for row in windows for window in row]
        logits = iter(self.run(flat, batch_size=batch_size, instances=instances))  # (L, 2) each
        decoding = self.decoding
        found = []
        for context, row in zip(contexts, windows, strict=True):
            scored = [
                window_spans(
                    next(logits),
                    window.first,
                    window.chars,
                    max_answer=decoding.max_answer,
                    count=decoding.candidates,
                )
                for window in row
            ]
            found.append(answer(context, scored, decoding))
        return found

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``98.1%  France``."""
        said = " ".join(prediction["answer"].split()) or "(no answer)"
        return f"{prediction['score']:6.1%}  {said}"
