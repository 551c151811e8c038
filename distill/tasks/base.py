"""What a task is: its head, its loss, its metrics, and what of its logits is compared.

Shapes: B batch, L length, C outputs of the head.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from transformers import PreTrainedTokenizerFast

from distill.data.reader import Reader
from distill.data.split import Split, TaskData
from distill.data.tokenized import TokenExamples
from distill.system.errors import ModelError
from distill.tasks import config_class, make_decoder
from distill.tasks.analysis import Analysis
from distill.tasks.decoder import Decoder
from distill.tasks.floors import Floor
from distill.tasks.linear import linear_floor
from distill.tasks.metrics import Collected

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
LogitsLoss = Literal["soft_ce", "kl", "mse"]
#: Probabilities that are carried from a teacher's tokens to a student's count as this at least, so
#: that they have a logarithm.
LEAST = 1e-9


class Task(ABC):
    """What is predicted and how it is scored; the score is better when higher.

    Args:
        labels: the names of the outputs, in the order of their integers, where they are not fixed.
        examples: the label of each training example, in which balanced weights are counted.
        **settings: those of the recipe's ``task`` section.

    Attributes:
        config: the ``task`` section.
        primary: the name of the metric that is the score.
        kind: the task's name in a recipe.
        fixed_labels: the names of the outputs, where all tasks of the kind have the same.
        reader: what reads and checks its examples.
        analyses: what keeps the predictions of models for a split.
        head: what stands on the encoder: a key of :data:`students.heads.HEADS`.
        problem_type: what transformers' config calls the task; ``None`` for other heads.
        objective: the kind of objective by which a student learns the teacher's outputs.
        logits_loss: the loss between a student's and a teacher's logits where the recipe names
            none.
        chooses: whether a setting is chosen for each model, by what it says of the validation
            examples; see :meth:`chosen`.
        weights: how much each label counts in the loss; ``None`` where all count alike.
        keep_projection: of sentence vectors, whether the student's are brought to the teacher's
            width by a layer of its own.
        short_widths: of sentence vectors the widths at which they are to be good too, cut at the
            front.
    """

    kind: ClassVar[str]
    reader: ClassVar[type[Reader]]
    analyses: ClassVar[type[Analysis] | None] = None
    head: ClassVar[str] = "classification"
    problem_type: ClassVar[ProblemType | None] = None
    objective: str = "logits"
    logits_loss: ClassVar[LogitsLoss] = "soft_ce"
    fixed_labels: ClassVar[tuple[str, ...] | None] = None
    chooses: bool = False
    weights: tuple[float, ...] | None = None
    keep_projection: bool = False
    short_widths: tuple[int, ...] = ()

    def __init__(
        self, labels: Sequence[str] = (), examples: Sequence[Any] = (), **settings: Any
    ) -> None:
        self.config: Any = config_class(self.kind).model_validate({"kind": self.kind} | settings)
        self.labels = tuple(labels) if self.fixed_labels is None else self.fixed_labels
        self.primary: str = self.config.metric
        self.prepare(examples)

    def prepare(self, examples: Sequence[Any]) -> None:  # noqa: B027 - nothing is to be prepared
        """Compute what hangs on settings and labels.

        Raises:
            DataError: the settings do not fit the labels.
        """

    @classmethod
    def of_model(cls, labels: Sequence[str], config: Any) -> tuple[list[str], dict[str, Any]]:
        """Labels and settings, as far as a model's config tells them.

        Raises:
            ModelError: the model's head is not this task's.
        """
        return list(labels), {}

    @property
    def num_outputs(self) -> int:
        """How many outputs the head has."""
        return len(self.labels)

    @property
    def hard_loss(self) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The loss of comparable logits (M, K) with comparable labels (M,), a scalar.

        ``None`` where it is the plain one: cross-entropy, or of numbers the squared error.
        """
        return None

    @property
    def settings(self) -> dict[str, Any]:
        """What the runtime needs to know beside the labels, as JSON."""
        return {}

    @property
    def model_settings(self) -> dict[str, Any]:
        """What a model's config says of its head, beside the labels."""
        return {}

    def chosen(self, logits: Tensor, labels: Tensor) -> dict[str, Any]:
        """Settings that fit a model best, by name as in :attr:`settings`; mostly none."""
        return {}

    def settled(self, chosen: Mapping[str, Any]) -> Self:
        """The task of a model for which :meth:`chosen` gave these, among other facts."""
        return self

    def told_choice(self) -> str:
        """What was chosen, in words for a log; empty where nothing was."""
        return ""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss with the true labels, a scalar in fp32, the mean over the batch.

        Args:
            logits: what :func:`students.heads.logits_of` gives; any float type.
            labels: as the batch has them; of a classification (B,), int64.
        """

    def decide(self, logits: Tensor) -> Tensor:
        """Labels made of logits, as a batch would have them; of a classification the likeliest."""
        return logits.argmax(dim=-1)

    @abstractmethod
    def scores(self) -> dict[str, Metric]:
        """New, empty metrics by name; :attr:`primary` is one of these, or of what one gives."""

    def metrics(self) -> MetricCollection:
        """The metrics of :meth:`scores` as one, for :meth:`observe`; then ``compute()``."""
        found = self.scores()
        # What all keep is kept once. Of others torchmetrics must not find groups: it merges metrics
        # whose counts agree after the first batch, and those of different averages can by chance.
        alike = all(isinstance(metric, Collected) for metric in found.values())
        return MetricCollection(dict(found), compute_groups=[list(found)] if alike else False)

    def observe(self, metrics: MetricCollection, logits: Tensor, batch: Mapping[str, Any]) -> None:
        """Take a batch into the metrics."""
        metrics.update(logits, batch["labels"])

    def floor(self, data: TaskData) -> Floor | None:
        """What is scored without a neural network; where labels are of texts, linear on TF-IDF.

        The training examples are learned, those of validation choose its settings.
        """
        return linear_floor(self, data)

    def decoder(self) -> Decoder:
        """What turns this task's logits into predictions."""
        return make_decoder(self.kind, self.labels, self.settings)

    def analysis(
        self, split: Split, rows: TokenExamples, tokenizer: PreTrainedTokenizerFast
    ) -> Analysis | None:
        """What keeps the predictions of models for a split; ``None`` of a task that has none."""
        return None if self.analyses is None else self.analyses(self, split)

    def carried(
        self, logits: npt.NDArray[np.float32], theirs: TokenExamples, ours: TokenExamples
    ) -> npt.NDArray[np.float32]:
        """What a teacher that reads other tokens says of the student's, by their characters.

        Args:
            logits: of all tokens of the teacher's reading, one after the other, (N, C); it returns
                those of the student's, (M, C).
            theirs: the examples as the teacher reads them.
            ours: the same as the student reads them.

        Raises:
            ModelError: the task cannot, and both read different tokens.
        """
        if theirs.digest != ours.digest:
            raise ModelError(
                f"task.kind: {self.kind} compares token by token, and the teacher's tokenizer is "
                "another than the student's; take models with one tokenizer"
            )
        return logits

    def comparable(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """Logits as (M, K), M distributions over K outcomes, which is what objectives compare."""
        return logits

    def comparable_labels(self, batch: Mapping[str, Any]) -> Tensor | None:
        """The true outcome of each of these M, (M,); ``None`` of a batch without labels."""
        return batch.get("labels")
