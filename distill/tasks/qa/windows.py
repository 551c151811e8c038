"""Questions, and the windows of their contexts on disk.

The answers are not in them: where they stand in each window is worked out when it is opened.

Legend: W windows, L length of a window, K tokens of the context among them, B windows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from distill.data.array_store import ArrayStore, ArrayWriter, open_store
from distill.data.sources.columns import mapped
from distill.data.split import Group, Split
from distill.data.tokenized import TokenExamples, bare_engine, check_examples, padding_id
from distill.system import digest
from distill.system.console import Bar
from distill.text.questions import Limits, Window, WindowEncoder, token_span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Labels of tokens: those of the context (and the first one, which stands for "not in this
#: window") may start or end an answer; all others are left out of the loss.
INSIDE, START, END, OUTSIDE = 0, 1, 2, -100

_VERSION = 2
_CHUNK = 500
_ARRAYS = {
    "ids": "int32",  # of all windows
    "types": "uint8",  # of all windows
    "chars": "int32",  # start and end of every token of a context
    "lengths": "int32",  # (W,)
    "firsts": "int32",  # (W,) the position of the context's first token
    "sizes": "int32",  # (W,) K
    "rows": "int32",  # (W,) the question's number
}

#: An answer's text and the character of the context at which it starts.
Answer = tuple[str, int]


@dataclass(frozen=True)
class QuestionSplit(Split):
    """Questions of one split, in the order of their source.

    The questions are the texts, the contexts their pairs and the answers their labels: of each
    question a tuple, empty where the context has no answer. A model learns the first answer and is
    scored by the one that is nearest.
    """

    ids: Sequence[str] = ()  # what each question is called; no two alike
    # tokens that neighbouring windows of a long context share; ``None`` takes the usual number
    stride: int | None = None
    max_question: int | None = None  # tokens kept of a question; ``None`` takes the usual number

    per_example: ClassVar[tuple[str, ...]] = ("texts", "labels", "pairs", "ids")

    @property
    def questions(self) -> Sequence[str]:
        """The texts."""
        return self.texts

    @property
    def contexts(self) -> Sequence[str]:
        """The text that each is asked about."""
        return self.pairs or []

    @property
    def answers(self) -> Sequence[tuple[Answer, ...]]:
        """The answers of each."""
        return self.labels

    @property
    def groups(self) -> Sequence[Group]:
        """Whether each question has an answer."""
        return mapped(self.answers, lambda answers: (int(not answers),))

    def encode(self, tokenizer: PreTrainedTokenizerFast, *, max_length: int) -> WindowedDataset:
        check_examples(self, tokenizer, max_length=max_length)
        limits = Limits.of(max_length, stride=self.stride, max_question=self.max_question)
        encoder = WindowEncoder(bare_engine(tokenizer), limits)
        engine = digest.of_texts([encoder.tokenizer.to_str()])
        parts = [limits.max_length, limits.stride, limits.max_question]
        key = digest.of_json([_VERSION, self.text_digest, engine, parts])
        store = open_store(
            "tokens", key, _ARRAYS, name=self.name, fill=lambda writer: _fill(writer, self, encoder)
        )
        whole = digest.of_json([key, self.digest()])
        return WindowedDataset(store, self, digest=whole, pad_id=padding_id(tokenizer))


class Asked(SimpleNamespace):
    """What the metrics need to know of a window; no dataclass, which Lightning would copy."""

    question: int  # its number
    context: str
    answers: tuple[str, ...]  # the right ones; none where the text does not answer
    first: int  # the position of the context's first token
    chars: npt.NDArray[np.int32]  # start and end of each of the context's tokens, (K, 2)


class WindowedDataset(TokenExamples):
    """Windows as token ids, with the place of the answer in each.

    An item has ``input_ids`` and ``token_type_ids`` (L,), ``labels`` (L,): :data:`OUTSIDE`, or
    :data:`INSIDE` with :data:`START` and :data:`END` added where the answer starts and ends,
    ``index`` (the window's number) and ``asked`` (an :class:`Asked`).

    Attributes:
        truncated: how many questions were cut; contexts never are.
        spans: first and last token of the answer in each window, (W, 2); 0 and 0 where it is not
            all in the window.
        rows: the number of each window's question, (W,).
    """

    padded = MappingProxyType({"labels": OUTSIDE})

    def __init__(
        self, store: ArrayStore, split: QuestionSplit, *, digest: str, pad_id: int
    ) -> None:
        super().__init__(store, digest=digest, pad_id=pad_id)
        self.split = split
        self.truncated: int = store.facts["truncated"]
        self.rows: npt.NDArray[np.int32] = np.array(store["rows"])
        sizes = np.array(store["sizes"])
        self._char_starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.spans = self._find_answers()

    def labels_of(self, index: int, tokens: slice) -> dict[str, Any]:
        window, row = self.window(index), int(self.rows[index])
        labels = np.full(tokens.stop - tokens.start, OUTSIDE, dtype=np.int64)  # (L,)
        labels[0] = INSIDE
        labels[window.first : window.first + len(window.chars)] = INSIDE
        labels[self.spans[index, 0]] += START
        labels[self.spans[index, 1]] += END
        answers = tuple(text for text, _ in self.split.answers[row])
        asked = Asked(
            question=row,
            context=self.split.contexts[row],
            answers=answers,
            first=window.first,
            chars=window.chars,
        )
        return {"labels": labels, "asked": asked}

    def notes(self, *, max_length: int, limit: int) -> list[str]:
        split, found = self.split, []
        if len(self) > len(split):
            found.append(f"{len(split):,} questions in {len(self):,} windows of their texts")
        if self.truncated:
            found.append(
                f"{self.truncated:,} questions are cut; task.max_question_length keeps more of them"
            )
        answered = {row for row, answers in enumerate(split.answers) if answers}
        shown = set(self.rows[self.spans[:, 1] > 0].tolist())
        if hidden := len(answered - shown):
            found.append(
                f"{hidden:,} answers do not stand whole in any window, so that nothing is learned "
                "from them; raise task.stride or data.max_length"
            )
        return found

    def window(self, index: int) -> Window:
        """The tokens of a window, and where those of the context stand in it."""
        tokens = slice(self.starts[index], self.starts[index + 1])
        characters = self.store["chars"].reshape(-1, 2)
        chars = characters[self._char_starts[index] : self._char_starts[index + 1]]
        ids: Any = self.store["ids"][tokens]
        types: Any = self.store["types"][tokens]
        return Window(ids, types, int(self.store["firsts"][index]), chars)

    def _find_answers(self) -> npt.NDArray[np.int32]:
        spans = np.zeros((len(self), 2), dtype=np.int32)  # (W, 2)
        rows = self.rows
        for index, row in enumerate(rows):
            answers = self.split.answers[row]
            if not answers:
                continue
            text, start = answers[0]
            start += len(text) - len(text.lstrip())
            end = start + len(text.strip())
            first = index == 0 or rows[index - 1] != row
            last = index == len(rows) - 1 or rows[index + 1] != row
            spans[index] = token_span(self.window(index), start, end, part=(first, last))
        return spans


def _fill(writer: ArrayWriter, split: QuestionSplit, encoder: WindowEncoder) -> dict[str, Any]:
    truncated = 0
    with Bar(f"tokenise {split.name}", len(split)) as bar:
        for start in range(0, len(split), _CHUNK):
            questions = split.questions[start : start + _CHUNK]
            cut = encoder.cut(questions)
            truncated += sum(a != b for a, b in zip(questions, cut, strict=True))
            windows = encoder.encode(cut, split.contexts[start : start + _CHUNK])
            found = [(start + row, one) for row, own in enumerate(windows) for one in own]
            writer.append(
                ids=np.concatenate([one.ids for _, one in found]),
                types=np.concatenate([one.type_ids for _, one in found]),
                chars=np.concatenate([one.chars for _, one in found]),
                lengths=[len(one) for _, one in found],
                firsts=[one.first for _, one in found],
                sizes=[len(one.chars) for _, one in found],
                rows=[row for row, _ in found],
            )
            bar.advance(len(questions))
    return {"truncated": truncated}
