"""What models predict for the examples of a split, and where they go wrong.

The evaluation makes its numbers, files and pages of an :class:`Analysis` alone, whatever the task's
kind: see :mod:`distill.evaluation.error_analysis`.

Legend: N examples, C labels, B examples of a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import numpy.typing as npt

from distill.data.split import Split
from distill.data.tokenized import TokenExamples
from distill.tasks.decoder import TextDecoder
from distill.tasks.scorers import Combine, Scorer, counts_scorer, mean_scorer

if TYPE_CHECKING:
    from distill.tasks.base import Task

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
#: Takes a model's logits and the batch they are of, while the model is scored.
Keep = Callable[[npt.NDArray[np.float32], Mapping[str, Any]], None]


class Analysis(ABC):
    """The predictions of models for one split.

    Args:
        split: the scored examples, as the kind's reader gives them.

    Attributes:
        names: what the columns of :meth:`counts` are called.
        outputs: what is kept of each model, in the order in which they were scored.
    """

    def __init__(self, task: Task, split: Any) -> None:
        self.task, self.split = task, split
        self.names: tuple[str, ...] = tuple(task.labels)
        self.outputs: dict[str, Any] = {}

    def __len__(self) -> int:
        """How many examples there are (N)."""
        return len(self.split)

    @property
    def models(self) -> list[str]:
        """The models whose predictions are kept, in the order in which they were scored."""
        return list(self.outputs)

    @abstractmethod
    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        """A function that keeps a model's predictions; ``None`` where it cannot be compared.

        Args:
            model: its name.
            task: the task with what was chosen for this model.
            rows: the examples as this model reads them.
        """

    @abstractmethod
    def shared(self) -> dict[str, Array]:
        """What is written once beside the predictions, such as the targets."""

    def arrays(self, model: str) -> dict[str, Array]:
        """A model's predictions as they are written."""
        return {"outputs": self.outputs[model]}

    @abstractmethod
    def scorer(self, model: str) -> Scorer | None:
        """The task's metric on draws of the examples; ``None`` of one that is not known here."""

    @abstractmethod
    def majority(self, train: Split) -> Scorer | None:
        """The same of what needs no model: the commonest label, or what stands for it."""

    @abstractmethod
    def difference(self, teacher: str, model: str) -> npt.NDArray[np.floating]:
        """How much each example shows that two models differ, (N,); -inf where they agree."""

    def row(self, index: int) -> int:
        """The number of an example in the split."""
        return index

    @abstractmethod
    def target_in_words(self, index: int) -> str:
        """What is right for an example."""

    def example(self, index: int) -> dict[str, Any]:
        """An example in words: ``row``, ``text``, maybe ``text_pair``, and ``label``."""
        row, pairs = self.row(index), self.split.pairs
        return {
            "row": row,
            "text": self.split.texts[row],
            **({} if pairs is None else {"text_pair": pairs[row]}),
            "label": self.target_in_words(index),
        }

    @abstractmethod
    def prediction(self, model: str, index: int) -> dict[str, Any]:
        """A model's prediction in words: ``prediction``, ``confidence`` (may be ``None``).

        ``right`` says whether it is, where the words do not; ``start`` where it begins in the text.
        """

    def right(self, model: str) -> Flags | None:
        """Whether each prediction is right, (N,); ``None`` of numbers."""
        return None

    def confidence(self, model: str) -> tuple[npt.NDArray[np.floating], Flags] | None:
        """How sure a model is of decisions, and whether each is right, (M,) each.

        A decision is an example, a label of it or a word of it, as the task's kind decides them.
        """
        return None

    def counts(self, model: str) -> npt.NDArray[np.integer] | None:
        """Which labels each example has: correct, predicted and true ones, (N, 3, C)."""
        return None

    def confusions(self, model: str) -> dict[str, dict[str, int]] | None:
        """True label to predicted label to how often; pairs that do not occur are left out."""
        return None

    def thresholds(self, model: str) -> dict[str, float]:
        """The probability above which each label is predicted, where there may be several."""
        return {}


class ExampleAnalysis(Analysis):
    """Predictions of a task with one row of outputs for each example."""

    def __init__(self, task: Task, split: Any) -> None:
        super().__init__(task, split)
        self.targets: Array = split.targets
        self.decoders: dict[str, TextDecoder] = {}

    def keeper(self, model: str, task: Task, rows: TokenExamples) -> Keep | None:
        decoder = cast(TextDecoder, task.decoder())
        kept = np.zeros((len(self), max(1, len(task.labels))), dtype=np.float32)
        self.outputs[model], self.decoders[model] = kept, decoder

        def keep(logits: npt.NDArray[np.float32], batch: Mapping[str, Any]) -> None:
            kept[np.asarray(batch["index"])] = decoder.outputs(logits)

        return keep

    def chosen(self, model: str) -> Array:
        """A model's predictions; see :meth:`TextDecoder.chosen`."""
        return self.decoders[model].chosen(self.outputs[model])

    def shared(self) -> dict[str, Array]:
        return {"labels": np.array(self.names, dtype=np.str_), "targets": self.targets}

    def target_in_words(self, index: int) -> str:
        return cast(TextDecoder, self.task.decoder()).in_words(self.targets[index])

    def prediction(self, model: str, index: int) -> dict[str, Any]:
        decoder = self.decoders[model]
        chosen = decoder.chosen(self.outputs[model][index : index + 1])[0]
        return {"prediction": decoder.in_words(chosen), "confidence": None}


class LabelledAnalysis(ExampleAnalysis):
    """Predictions of labels that have names.

    Attributes:
        share_right: the metric that is the share of examples that are right.
        combine: what the other metrics make of how often each label is correct, predicted and true.
    """

    share_right: ClassVar[str]
    combine: ClassVar[Mapping[str, Combine]]

    @abstractmethod
    def flags(self, labels: Array) -> Flags:
        """Whether each example has each label, (N, C); of targets, or of chosen ones."""

    @abstractmethod
    def common(self, train: Split) -> Array:
        """The labels that examples have that nothing is known of."""

    def right(self, model: str) -> Flags:
        return self._right(self.chosen(model))

    def _right(self, chosen: Array) -> Flags:
        return np.asarray((self.flags(chosen) == self.flags(self.targets)).all(axis=1))

    def counts(self, model: str) -> npt.NDArray[np.int64]:
        return self._counts(self.chosen(model))

    def _counts(self, chosen: Array) -> npt.NDArray[np.int64]:
        predicted, true = self.flags(chosen), self.flags(self.targets)
        return np.stack([predicted & true, predicted, true], axis=1).astype(np.int64)

    def scorer(self, model: str) -> Scorer | None:
        return self._scorer(self.chosen(model))

    def majority(self, train: Split) -> Scorer | None:
        return self._scorer(np.broadcast_to(self.common(train), self.targets.shape))

    def _scorer(self, chosen: Array) -> Scorer | None:
        if self.task.primary == self.share_right:
            return mean_scorer(self._right(chosen))
        combine = self.combine.get(self.task.primary)
        return None if combine is None else counts_scorer(self._counts(chosen), combine)
