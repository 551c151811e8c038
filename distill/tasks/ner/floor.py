"""Every word's most frequent tag: the floor of named entities.

Legend: B windows of a batch, L length, C tags, F windows of all rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from distill.data.split import Split
from distill.data.tokenized import TokenExamples, bare_engine
from distill.tasks.floors import Answer, Floor, Logits, Numbers, as_array
from distill.tasks.ner.tokens import IGNORED, TaggedDataset, TaggedSplit, join, word_tags
from distill.text.words import words_of

#: Logit of the chosen tag; the others have 0.
_SURE = 5.0


class TagFloor(Floor):
    """The most frequent tag of a word in the training examples, else of its lower case, else ``O``.

    Args:
        train: the rows.
    """

    format: ClassVar[str] = "word tags"

    def __init__(self, train: TaggedSplit) -> None:
        self.tag_set = train.tag_set
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        for words, tags in zip(train.words, train.labels, strict=True):
            for word, tag in zip(words, tags, strict=True):
                for form in {word, word.lower()}:
                    counts[form][tag] += 1
        # Of equally frequent tags the first of the tag set.
        self.tags = {
            word: min(found, key=lambda tag: (-found[tag], tag)) for word, found in counts.items()
        }

    def tag(self, word: str) -> int:
        """The tag of a word."""
        found = self.tags.get(word)
        return self.tags.get(word.lower(), self.tag_set.outside) if found is None else found

    def on(self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast) -> Answer:
        if not isinstance(split, TaggedSplit) or not isinstance(rows, TaggedDataset):
            raise TypeError("tags are of words")
        engine, starts = bare_engine(tokenizer), rows.word_starts
        # How many words of its row stand in the windows before each one, (F,); rows ascend.
        firsts = starts[:-1] - starts[np.searchsorted(rows.rows, rows.rows)]
        # Token ids are given to the other models too.
        read = cache(lambda row: words_of(engine.encode(split.texts[row]), split.texts[row]))

        def tags_of_row(row: int) -> list[int]:
            words = split.words[row]
            spans = self.tag_set.read([self.tag(word) for word in words], strict=False)
            _, starts, ends = join(words)
            entities = [(span.type, starts[span.start], ends[span.end - 1]) for span in spans]
            return word_tags(entities, read(row), self.tag_set)[0]

        def answer(numbers: Numbers, length: int) -> Logits:
            logits = np.zeros((len(numbers), length, len(self.tag_set.labels)), dtype=np.float32)
            logits[..., self.tag_set.outside] = _SURE / 2
            for place, window in enumerate(numbers.tolist()):
                (tokens,) = np.nonzero(np.asarray(rows[window]["labels"][:length]) != IGNORED)
                tags = tags_of_row(int(rows.rows[window]))[firsts[window] :][: len(tokens)]
                logits[place, tokens, tags] = _SURE
            return logits

        return answer

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """See :meth:`Floor.arrays`: words that are not ``O`` suffice."""
        tags = {word: tag for word, tag in self.tags.items() if tag != self.tag_set.outside}
        return {"words": as_array(tags), "tags": np.array(list(tags.values()), dtype=np.int16)}
