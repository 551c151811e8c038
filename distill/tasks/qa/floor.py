"""Words in common with the question: the floor of question answering.

Legend: B windows of a batch, L length.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split
from distill.data.tokenized import TokenExamples
from distill.tasks.floors import Answer, Floor, Logits, Numbers, as_array
from distill.tasks.qa.windows import Asked, QuestionSplit

_WORD = re.compile(r"\w+(?:[-'’.,]\w+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])")
_NUMBER = re.compile(r"\d")
_ASKS_NUMBER = re.compile(r"\b(when|how (many|much|long|old|far|large|high)|what year)\b", re.I)
_ASKS_NAME = re.compile(r"\b(who|whom|whose|where|which)\b", re.I)
#: Shares of a question's weight that the best sentence must share, tried where there may be no
#: answer.
_BARS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_SOME_CONTEXTS = 10  # in fewer the commonest words are not known
_LONGEST = 5  # words of an answer
_SURE = 10.0


class AnswerFloor(Floor):
    """The sentence that shares the rarest words with the question, and a few words of it.

    These do not stand in the question themselves, hold a number or a name where the question asks
    for one, and stand near the words shared.

    Args:
        train: the questions and contexts, which the words' rarity is counted in.
        no_answer: whether nothing may be the answer: then a sentence must share enough.
    """

    format: ClassVar[str] = "word match"

    def __init__(self, train: QuestionSplit, *, no_answer: bool = False) -> None:
        contexts = set(train.contexts)
        counts = Counter(word for text in contexts for word in set(_words(text)))
        self.rarity = {word: math.log(len(contexts) / n) + 0.1 for word, n in counts.items()}
        self.unseen = math.log(len(contexts)) + 1
        self.common = 1.0 if len(contexts) >= _SOME_CONTEXTS else 0.0
        self.bar = 0.0
        if no_answer:
            self.bar = max(_BARS, key=lambda bar: self._agreement(train, bar))

    def _agreement(self, train: QuestionSplit, bar: float) -> int:
        """How often a bar says rightly whether there is an answer."""
        rows = range(0, len(train), max(1, len(train) // 1000))
        return sum(
            (self._sentence(train.questions[row], train.contexts[row])[2] >= bar)
            == bool(train.answers[row])
            for row in rows
        )

    def _weight(self, word: str) -> float:
        return self.rarity.get(word, self.unseen)

    def _sentence(self, question: str, context: str) -> tuple[int, int, float]:
        """Where the best sentence begins and ends, and which share of the question it has."""
        asked = set(_words(question))
        whole = sum(map(self._weight, asked)) or 1.0
        cuts = [0, *(found.end() for found in _SENTENCE_END.finditer(context)), len(context)]
        best = (0, len(context), -1.0)
        for start, end in itertools.pairwise(cuts):
            shared = asked.intersection(_words(context[start:end]))
            share = sum(map(self._weight, shared)) / whole
            if share > best[2]:
                best = (start, end, share)
        return best

    def answer(self, question: str, context: str) -> tuple[int, int] | None:
        """The first character of the answer and the one behind it; ``None`` where none is."""
        start, end, share = self._sentence(question, context)
        asked = set(_words(question))
        words = list(_WORD.finditer(context, start, end))
        free = [
            word[0].lower() not in asked and self._weight(word[0].lower()) > self.common
            for word in words
        ]
        if share < self.bar or not any(free):
            return None if self.bar > 0 else (start, end)
        near = [place for place, is_free in enumerate(free) if not is_free]
        best, best_score = (start, end), -math.inf
        for first in range(len(words)):
            for last in range(first, min(first + _LONGEST, len(words))):
                if not free[first] or not free[last]:
                    continue
                span = (words[first].start(), words[last].end())
                score = self._fit(question, context[slice(*span)])
                middle = (first + last) / 2
                score -= 0.05 * min((abs(middle - place) for place in near), default=0)
                score -= 0.3 * sum(not free[k] for k in range(first, last + 1))
                if score > best_score:
                    best, best_score = span, score
        return best

    def _fit(self, question: str, text: str) -> float:
        """How well some words fit the kind of question: more of them cost a little."""
        words = text.split()
        names = sum(word[:1].isupper() for word in words) / len(words)
        if _ASKS_NUMBER.search(question):
            return 2.0 * bool(_NUMBER.search(text)) - 0.2 * len(words)
        if _ASKS_NAME.search(question):
            return 2.0 * names + 0.2 * min(len(words), 3)
        return names + 0.2 * min(len(words), 3)

    def on(self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:

        def answer(numbers: Numbers, length: int) -> Logits:
            logits = np.zeros((len(numbers), length, 2), dtype=np.float32)
            for place, window in enumerate(numbers.tolist()):
                asked: Asked = rows[window]["asked"]
                found = self.answer(split.texts[asked.question], asked.context)
                places = None if found is None else _tokens(asked, *found)
                first, last = (0, 0) if places is None else places
                if max(first, last) < length:
                    logits[place, first, 0] = logits[place, last, 1] = _SURE
            return logits

        return answer

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        rarity = np.array(list(self.rarity.values()), dtype=np.float32)
        return {"words": as_array(self.rarity), "rarity": rarity}


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _tokens(asked: Asked, start: int, end: int) -> tuple[int, int] | None:
    """The first and last token of some characters; ``None`` where the window lacks them."""
    inside = np.flatnonzero((asked.chars[:, 0] < end) & (asked.chars[:, 1] > start))
    if not len(inside) or asked.chars[inside[0], 0] > start or asked.chars[inside[-1], 1] < end:
        return None
    return asked.first + int(inside[0]), asked.first + int(inside[-1])
