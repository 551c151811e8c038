"""Windows of questions and contexts on disk: made once, then memory-mapped.

A cache folder holds flat arrays of all windows, one after the other, and ``windows.json`` with the
size and SHA-256 of each, which are checked whenever the folder is opened. The answers are not in
it: where they stand in each window is worked out when it is opened.

Legend: W windows, L length of a window, K tokens of the context among them, B windows of a batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from distill import digest
from distill.atomic import write_json
from distill.console import Bar
from distill.data.batches import Collate
from distill.data.questions import QuestionSplit
from distill.data.stamps import cached_folder, stamp
from distill.data.tokenized import TokenRows, check_rows, padding_id
from distill.text.questions import Limits, Window, WindowEncoder, token_span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: Labels of tokens: those of the context (and the first one, which stands for "not in this
#: window") may start or end an answer; all others are left out of the loss.
INSIDE, START, END, OUTSIDE = 0, 1, 2, -100

_VERSION = 1
_CHUNK = 500
_FACTS = "windows.json"
_ARRAYS: dict[str, np.dtype[Any]] = {
    "ids": np.dtype(np.int32),  # of all windows
    "types": np.dtype(np.uint8),  # of all windows
    "chars": np.dtype(np.int32),  # start and end of every token of a context
    "lengths": np.dtype(np.int32),  # (W,)
    "firsts": np.dtype(np.int32),  # (W,) the position of the context's first token
    "sizes": np.dtype(np.int32),  # (W,) K
    "rows": np.dtype(np.int32),  # (W,) the question's number
}


class Asked:
    """What the metrics need to know of a window; a plain object, which nobody copies.

    Args:
        question: the question's number.
        context: its text.
        answers: the right answers; none where the text does not answer.
        first: the position of the context's first token.
        chars: start and end of each of the context's tokens, (K, 2).
    """

    __slots__ = ("answers", "chars", "context", "first", "question")

    def __init__(
        self,
        question: int,
        context: str,
        answers: tuple[str, ...],
        *,
        first: int,
        chars: npt.NDArray[np.int32],
    ) -> None:
        self.question = question
        self.context = context
        self.answers = answers
        self.first = first
        self.chars = chars


class WindowedDataset(TokenRows):
    """Windows as token ids, with the place of the answer in each.

    An item has ``input_ids`` and ``token_type_ids`` (L,), ``label`` (L,): :data:`OUTSIDE`, or
    :data:`INSIDE` with :data:`START` and :data:`END` added where the answer starts and ends,
    ``index`` (the window's number) and ``asked`` (an :class:`Asked`).

    Args:
        folder: a folder that :func:`window` made.
        split: the questions.
        digest: SHA-256 (hex) of what the windows are: texts, tokenizer, limits and answers.
        pad_id: the padding token's id.

    Attributes:
        lengths: tokens of each window, int32 (W,).
        digest: see above.
        truncated: how many questions were cut; contexts never are.
        pad_id: see above.
        spans: first and last token of the answer in each window, (W, 2); 0 and 0 where it is not
            all in the window.
        rows: the number of each window's question, (W,).
    """

    def __init__(self, folder: Path, split: QuestionSplit, *, digest: str, pad_id: int) -> None:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        self.folder, self.split = folder, split
        self.digest, self.pad_id = digest, pad_id
        self.truncated: int = facts["truncated"]
        array = {name: _mapped(folder / name, kind) for name, kind in _ARRAYS.items()}
        self._ids, self._types = array["ids"], array["types"]
        self._chars = array["chars"].reshape(-1, 2)
        self.lengths = np.array(array["lengths"])
        self.rows: npt.NDArray[np.int32] = np.array(array["rows"])
        self._firsts, sizes = np.array(array["firsts"]), np.array(array["sizes"])
        self._starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        self._char_starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.spans = self._find_answers()

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, end = self._starts[index], self._starts[index + 1]
        window, row = self._window(index), int(self.rows[index])
        label = np.full(end - start, OUTSIDE, dtype=np.int64)  # (L,)
        label[0] = INSIDE
        label[window.first : window.first + len(window.chars)] = INSIDE
        label[self.spans[index, 0]] += START
        label[self.spans[index, 1]] += END
        answers = tuple(text for text, _ in self.split.answers[row])
        context = self.split.contexts[row]
        return {
            "input_ids": window.ids,
            "token_type_ids": window.type_ids,
            "label": label,
            "index": index,
            "asked": Asked(row, context, answers, first=window.first, chars=window.chars),
        }

    def collate(self) -> Callable[[Sequence[dict[str, Any]]], dict[str, Any]]:
        """What makes a batch of items."""
        return CollateWindows(self.pad_id)

    def notes(self) -> list[str]:
        """What a reader of the scores should know: windows, cut questions, answers not learned."""
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

    def _window(self, index: int) -> Window:
        tokens = slice(self._starts[index], self._starts[index + 1])
        chars = self._chars[self._char_starts[index] : self._char_starts[index + 1]]
        ids: Any = self._ids[tokens]
        types: Any = self._types[tokens]
        return Window(ids, types, int(self._firsts[index]), chars)

    def _find_answers(self) -> npt.NDArray[np.int32]:
        spans = np.zeros((len(self), 2), dtype=np.int32)  # (W, 2)
        rows = self.rows
        for index, row in enumerate(rows):
            if not self.split.answers[row]:
                continue
            text, start = self.split.answers[row][0]
            start += len(text) - len(text.lstrip())
            end = start + len(text.strip())
            first = index == 0 or rows[index - 1] != row
            last = index == len(rows) - 1 or rows[index + 1] != row
            spans[index] = token_span(self._window(index), start, end, part=(first, last))
        return spans

    def __reduce__(self) -> tuple[Any, ...]:
        # Worker processes open the files themselves; a pickled memmap would be a copy of them.
        return _reopen, (self.folder, self.split, self.digest, self.pad_id)


def _mapped(path: Path, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    # Contexts may have no tokens at all, and nothing cannot be mapped.
    return np.memmap(path, dtype=kind, mode="r") if path.stat().st_size else np.empty(0, kind)


def _reopen(folder: Path, split: QuestionSplit, digest: str, pad_id: int) -> WindowedDataset:
    return WindowedDataset(folder, split, digest=digest, pad_id=pad_id)


class CollateWindows(Collate):
    """Make a batch of windows; see :class:`~distill.data.batches.Collate`."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Pad and stack.

        Returns:
            What :class:`~distill.data.batches.Collate` gives, with ``labels`` of shape (B, L), and
            ``asked``, a list of B.
        """
        batch: dict[str, Any] = super().__call__([{**row, "label": 0} for row in rows])
        labels = np.full(tuple(batch["input_ids"].shape), OUTSIDE, dtype=np.int64)  # (B, L)
        for place, row in enumerate(rows):
            labels[place, : len(row["label"])] = row["label"]
        return {
            **batch,
            "labels": torch.from_numpy(labels),
            "asked": [row["asked"] for row in rows],
        }


def window(
    split: QuestionSplit, tokenizer: PreTrainedTokenizerFast, *, max_length: int
) -> WindowedDataset:
    """Give a split as windows, from the cache where its texts were tokenised before.

    Args:
        split: the questions.
        tokenizer: a fast tokenizer.
        max_length: tokens of a window, special ones included.

    Raises:
        DataError: the split is empty, the tokenizer takes fewer tokens than ``max_length``, the
            limits leave no room for the context, or the cache folder cannot be written.
    """
    check_rows(split, tokenizer, max_length=max_length)
    limits = Limits.of(max_length, stride=split.stride, max_question=split.max_question)
    encoder = WindowEncoder(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), limits)
    engine = digest.of_texts([encoder.tokenizer.to_str()])
    parts = [limits.max_length, limits.stride, limits.max_question]
    key = digest.of_json([_VERSION, split.text_digest, engine, parts])
    folder = cached_folder(
        "windows",
        key,
        facts=_FACTS,
        holds="windows",
        name=split.name,
        fill=lambda new: _fill(new, split, encoder, key),
    )
    whole = digest.of_json([key, split.digest()])
    return WindowedDataset(folder, split, digest=whole, pad_id=padding_id(tokenizer))


def _fill(new: Path, split: QuestionSplit, encoder: WindowEncoder, key: str) -> None:
    truncated = 0
    for name in _ARRAYS:
        (new / name).touch()
    with Bar(f"tokenise {split.name}", len(split)) as bar:
        for start in range(0, len(split), _CHUNK):
            questions = split.questions[start : start + _CHUNK]
            cut = encoder.cut(questions)
            truncated += sum(a != b for a, b in zip(questions, cut, strict=True))
            found = encoder.encode(cut, split.contexts[start : start + _CHUNK])
            _append(new, [(start + row, one) for row, all_ in enumerate(found) for one in all_])
            bar.advance(len(questions))
    facts = {"key": key, "questions": len(split), "truncated": truncated}
    write_json(new / _FACTS, {**facts, "files": stamp(new, _ARRAYS)})


def _append(new: Path, windows: Sequence[tuple[int, Window]]) -> None:
    arrays: dict[str, Any] = {
        "ids": np.concatenate([np.asarray(one.ids) for _, one in windows]),
        "types": np.concatenate([np.asarray(one.type_ids) for _, one in windows]),
        "chars": np.concatenate([one.chars for _, one in windows]),
        "lengths": [len(one) for _, one in windows],
        "firsts": [one.first for _, one in windows],
        "sizes": [len(one.chars) for _, one in windows],
        "rows": [row for row, _ in windows],
    }
    for name, values in arrays.items():
        with (new / name).open("ab") as file:
            file.write(np.asarray(values, dtype=_ARRAYS[name]).tobytes())
