"""Named entities: a tag for each word, and with it the parts of a text that are entities.

Legend: B windows, L length, C tags, T types of entities, M tokens that have a label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from transformers import PreTrainedTokenizerFast

from distill.data.reader import Reader
from distill.data.split import TaskData
from distill.data.tokenized import bare_engine
from distill.system import distributed
from distill.system.errors import DataError, ModelError
from distill.tasks.base import Task
from distill.tasks.floors import Answer, Floor, Logits, Numbers, as_array
from distill.tasks.metrics import Collected
from distill.tasks.ner.analysis import COMBINE, EntityAnalysis, Integers, entity_counts
from distill.tasks.ner.characters import by_characters, cut_alike
from distill.tasks.ner.data import TagReader
from distill.tasks.ner.tokens import IGNORED, TaggedSplit, join, word_tags
from distill.text.tags import TagSet
from distill.text.words import words_of

#: Logit of the chosen tag; the others have 0.
_SURE = 5.0


class EntityScores(Collected):
    r"""Precision, recall and F1 of entities, in all and by type.

    An entity is right if its first word, its last word and its type are. With ``tp`` right ones of
    ``found`` predicted and ``true`` real ones,

    .. math:: P = tp / found, \quad R = tp / true, \quad F_1 = 2 tp / (found + true),

    and 0 where the divisor is 0. ``precision``, ``recall`` and ``f1`` count the entities of all
    types together (micro); ``macro_f1`` is the mean over the types that stand in the data or the
    predictions; ``f1_TYPE`` and so on are of one type. ``lenient_f1`` is ``f1`` with illegal
    predictions read as ``conlleval`` does; all others leave them out.

    A batch brings of its M tokens that have a label the number of their row, which may be in
    several windows, that of their window, rising within a row, and the predicted and the true tag.

    Reference:
        ``seqeval`` with ``mode="strict"`` gives the same numbers, and ``lenient_f1`` without.
    """

    kept = ("row", "window", "predicted", "true")

    def __init__(self, tag_set: TagSet) -> None:
        super().__init__()
        self.tag_set = tag_set

    def compute(self) -> dict[str, Tensor]:
        row, window, predicted, true = (one.cpu().numpy() for one in self.whole())
        order = np.lexsort((window, row))  # stable: the words of a window stay in their order
        cuts = np.flatnonzero(np.diff(row[order])) + 1
        said, real = (np.split(tags[order], cuts) for tags in (predicted, true))
        counts = self._counts(said, real, strict=True)
        scores = {name: combine(*counts) for name, combine in COMBINE.items()}
        scores["lenient_f1"] = COMBINE["lenient_f1"](*self._counts(said, real, strict=False))
        for number, kind in enumerate(self.tag_set.types):
            for name in ("precision", "recall", "f1"):
                scores[f"{name}_{kind}"] = COMBINE[name](*counts[:, :, number : number + 1])
        return {name: torch.tensor(float(value[0])) for name, value in scores.items()}

    def _counts(
        self, predicted: list[Integers], true: list[Integers], *, strict: bool
    ) -> npt.NDArray[np.float64]:
        """Right, predicted and true entities of all rows by type, (3, 1, T)."""
        read = self.tag_set.read
        pairs = (
            (set(read(real.tolist())), set(read(said.tolist(), strict=strict)))
            for said, real in zip(predicted, true, strict=True)
        )
        counts: npt.NDArray[np.int64] = entity_counts(pairs, len(self.tag_set.types)).sum(axis=0)
        return counts[:, None].astype(np.float64)


class TagFloor(Floor):
    """A word's most frequent tag in the training examples, else of its lower case, else ``O``."""

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
        found = self.tags.get(word)
        return self.tags.get(word.lower(), self.tag_set.outside) if found is None else found

    def on(self, split: Any, rows: Any, tokenizer: PreTrainedTokenizerFast) -> Answer:
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
        """Words that are not ``O`` suffice."""
        tags = {word: tag for word, tag in self.tags.items() if tag != self.tag_set.outside}
        return {"words": as_array(tags), "tags": np.array(list(tags.values()), dtype=np.int16)}


class Ner(Task):
    """Tags of tokens by cross-entropy, scored as entities.

    Metrics are those of :class:`EntityScores`. With ``lenient_f1`` the
    runtime too reads illegal sequences of tags as ``conlleval`` does.

    Raises:
        DataError: the labels are not those of the scheme.
    """

    kind: ClassVar[str] = "ner"
    reader: ClassVar[type[Reader]] = TagReader
    head: ClassVar[str] = "tokens"

    def prepare(self, examples: Sequence[Any]) -> None:
        try:
            self.tag_set = TagSet(self.labels, self.config.scheme)
        except ValueError as error:
            raise DataError(f"task.labels: {error}") from None

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        scheme = "bioes" if any(label[:2] in ("E-", "S-") for label in labels) else "bio"
        try:
            return list(labels), cls(labels, scheme=scheme).settings
        except (DataError, KeyError) as error:
            raise ModelError(f"its labels are no tags of entities ({error})") from error

    @property
    def settings(self) -> dict[str, Any]:
        strict = self.primary != "lenient_f1"
        return {"scheme": self.tag_set.scheme, "strict": strict, "stride": self.config.stride}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        kept = labels != IGNORED  # (B, L)
        return distributed.mean(
            F.cross_entropy(logits[kept].float(), labels[kept], reduction="none")
        )

    def floor(self, data: TaskData) -> Floor:
        return TagFloor(cast(TaggedSplit, data.train))

    def analysis(self, split: Any, rows: Any, tokenizer: PreTrainedTokenizerFast) -> EntityAnalysis:
        return EntityAnalysis(self, split, rows, tokenizer)

    def scores(self) -> dict[str, Metric]:
        return {"entities": EntityScores(self.tag_set)}

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        labels = batch["labels"]
        kept = labels != IGNORED  # (B, L)
        windows = kept.nonzero()[:, 0]  # (M,)
        numbers = (batch["row"][windows], batch["index"][windows])
        metrics.update(*numbers, self.decide(logits)[kept], labels[kept])

    def carried(
        self, logits: npt.NDArray[np.float32], theirs: Any, ours: Any
    ) -> npt.NDArray[np.float32]:
        if cut_alike(theirs, ours):
            return logits
        return by_characters(logits, theirs, ours, tag_set=self.tag_set)

    def comparable(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """The logits of the tokens that have a label, (M, C)."""
        return logits[batch["labels"] != IGNORED]

    def comparable_labels(self, batch: Mapping[str, Any]) -> Tensor | None:
        labels = batch.get("labels")
        return labels[labels != IGNORED] if isinstance(labels, torch.Tensor) else None


TASK = Ner
