"""The part of a text that answers a question about it.

Legend: N questions, L length of a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from distill.tasks.decoder import Decoder, Inputs, Logits, Page, Wording, softmax
from distill.tasks.explain import Choice, Read, Target
from distill.text.encoding import TextEncoder, check_unicode
from distill.text.questions import Limits, WindowEncoder
from distill.text.spans import Decoding, answer, window_spans


class QaDecoder(Decoder):
    """The answer to every question.

    A long text is read in windows that overlap; of a long question only the beginning is.
    """

    always_pairs = True
    named_outputs = False
    page = Page("qa", names=("Question", "Text"), places=True)
    words = Wording(
        gives="the part of the second that answers the first, a question",
        tag="question-answering",
        pipeline="question-answering",
        auto_model=("AutoModelForQuestionAnswering", "output.start_logits, output.end_logits"),
        example=("Where is it?", "It is in France."),
        majority="giving no answer",
        limit="It answers with a part of the text, also where the answer is not in it, unless it "
        "was trained on such questions (`no_answer` in `distill.json`).",
        reads="A text is read in windows of {length} tokens: an answer must stand whole in one of "
        "them.",
        decisions=": how probable the best answer is, against whether it is one of the right ones "
        "exactly",
        differ="Below are questions where {model} is surest of its answer; a tick marks who is "
        "right.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        settings = self.settings
        self._limits = Limits.of(
            self.max_length,
            stride=settings.get("stride"),
            max_question=settings.get("max_question_length"),
        )
        self.decoding = Decoding.of(settings)

    def inputs(
        self, encoder: TextEncoder, texts: Sequence[str], pairs: Sequence[Any] | None
    ) -> Inputs:
        """The windows of every text with its question.

        ``parts`` holds the number of each text's windows.
        """
        contexts = list(pairs or ())
        check_unicode(texts, contexts)
        windows = WindowEncoder(encoder.uncut, self._limits).encode(texts, contexts)
        return Inputs(
            texts,
            contexts,
            [window for own in windows for window in own],
            parts=[len(own) for own in windows],
        )

    def predictions(self, inputs: Inputs, outputs: Sequence[Logits]) -> list[dict[str, Any]]:
        """Per question ``answer``, ``start``, ``end``, ``score`` and ``candidates``.

        ``text[start:end]`` is the answer, the score its probability; the candidates are the best
        answers, the most probable first, each with the same four. Where the bundle allows no
        answer, that is the empty text from 0 to 0.
        """
        decoding = self.decoding
        windows = iter(zip(inputs.rows, outputs, strict=True))
        predictions = []
        for context, count in zip(inputs.pairs or (), inputs.parts, strict=True):
            scored = [
                window_spans(
                    logits,  # (L, 2)
                    window.first,  # type: ignore[attr-defined]
                    window.chars,  # type: ignore[attr-defined]
                    max_answer=decoding.max_answer,
                    count=decoding.candidates,
                )
                for window, logits in (next(windows) for _ in range(count))
            ]
            predictions.append(answer(context, scored, decoding))
        return predictions

    @classmethod
    def explain(cls, read: Read, asked: Choice, word: str | None = None) -> Target:
        inside = np.array([text == 1 for text in read.encoded.sequence_ids(0)])  # (L,)
        shares = softmax(np.where(inside[:, None], read.logits, -np.inf).T).T  # (L, 2)
        both = np.tril(np.triu(np.outer(*shares.T)), Decoding.max_answer - 1)  # start by end
        start, end = divmod(int(both.argmax()), len(shares))
        answer = read.words(read.place(start, end))
        outputs = {answer: float(both[start, end])}
        if asked.place is not None:
            text, first, last = asked.place
            start, end = read.token(text, first), read.token(text, last - 1)
        place = read.place(start, end)
        outputs.setdefault(read.words(place), float(shares[start, 0] * shares[end, 1]))
        return Target(
            words=f"the logits of start and end of the answer '{read.words(place)}'",
            number=lambda logits: logits[:, start, 0] + logits[:, end, 1],
            outputs=outputs,
            predicted=answer,
            choice=Choice(place=place),
        )

    def line(self, prediction: Mapping[str, Any]) -> str:
        """``98.1%  France``."""
        text = " ".join(prediction["answer"].split()) or "(no answer)"
        return f"{prediction['score']:6.1%}  {text}"


DECODER = QaDecoder
