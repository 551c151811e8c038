"""The ``task`` section."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StrictBool, StrictInt, StrictStr, field_validator, model_validator

from distill.section import PositiveInt, Section, Share, Weight

Threshold = Annotated[float, Field(gt=0, lt=1)]
Weights = Annotated[dict[StrictStr, Weight], Field(min_length=1)]


class LabelledTask(Section):
    """Base of the tasks whose rows say what is right."""

    kind: str
    metric: str


class NamedLabels(LabelledTask):
    """Base of the tasks whose labels have names."""

    labels: Annotated[list[StrictStr], Field(min_length=2)] | None = None
    """Label names in the order of their integers; left out, they come from the training data."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str] | None) -> list[str] | None:
        if labels is not None and len(set(labels)) != len(labels):
            raise ValueError("a label stands in the list twice")
        odd = next((label for label in labels or () if not label or label != label.strip()), None)
        if odd is not None:
            raise ValueError(f"the label '{odd}' has blanks around it or is empty; no row has it")
        return labels


class UnnamedOutputs(LabelledTask):
    """Base of the tasks whose outputs have no names that a recipe could list."""

    labels: ClassVar[list[str] | None] = None


class ClassificationTask(NamedLabels):
    """One label for a sentence or a pair of sentences."""

    kind: Literal["classification"]
    metric: Literal["accuracy", "f1", "macro_f1", "mcc"] = "accuracy"
    """What is reported and what chooses the best checkpoint; ``f1`` is of the second label."""
    class_weights: Literal["balanced"] | Weights | None = None
    """How much the rows of each label count where labels are learned: by label (1 for those left
    out), or ``balanced``, by how rare they are."""
    label_smoothing: Share = 0.0
    """Share of the target that is spread evenly over all labels where labels are learned."""


class MultiLabelTask(NamedLabels):
    """Any number of labels for a sentence or a pair of sentences."""

    kind: Literal["multi_label"]
    metric: Literal["micro_f1", "macro_f1", "precision", "recall", "exact"] = "micro_f1"
    """What is reported and what chooses the best checkpoint; ``exact`` is the share of rows all of
    whose labels are right."""
    thresholds: Threshold | Literal["auto"] | dict[StrictStr, Threshold] = 0.5
    """The probability above which a label is predicted: one for all, by label (0.5 for those left
    out), or ``auto``: for each model and label the one with the best F1 on the validation rows."""
    positive_weights: Literal["balanced"] | Weights | None = None
    """How much having a label counts against not having it, where labels are learned: by label (1
    for those left out), or ``balanced``, as many times as it is rarer."""


class RegressionTask(UnnamedOutputs):
    """A number for a sentence or a pair of sentences, such as how alike the two are."""

    kind: Literal["regression"]
    metric: Literal["pearson", "spearman"] = "pearson"
    """What is reported and what chooses the best checkpoint."""
    bounds: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """The smallest and the largest number of the scale; others in the data are a mistake, and
    predictions are clipped to it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise ValueError("bounds: the smallest number comes first")
        return self


class NerTask(NamedLabels):
    """Named entities: a tag for each word."""

    kind: Literal["ner"]
    labels: Annotated[list[StrictStr], Field(min_length=1)] | None = None
    """The tags in the order of their integers (``O``, ``B-person``, ``I-person``, ...), or the
    types of entities alone (``person``); left out, they come from the data."""
    scheme: Literal["bio", "bioes"] = "bio"
    """How the data's tags mark entities: ``B-``, ``I-`` and ``O``, or with ``E-`` for the last word
    and ``S-`` for a single one. The model learns the same."""
    metric: Literal["f1", "macro_f1", "precision", "recall", "lenient_f1"] = "f1"
    """What is reported and what chooses the best checkpoint: of entities that are right to the
    character. ``lenient_f1`` reads illegal sequences of tags as ``conlleval`` does, and then the
    exported model does so too; the others leave them out."""
    repair: StrictBool = False
    """Whether illegal sequences of tags in the data (an ``I-`` that nothing begins) are read as
    ``conlleval`` does, and told; otherwise they are a mistake."""
    stride: Annotated[StrictInt, Field(ge=0)] | None = None
    """Tokens that neighbouring windows of a long text share; left out, a quarter of
    ``data.max_length``."""


class QuestionTask(UnnamedOutputs):
    """The part of a text that answers a question about it."""

    kind: Literal["qa"]
    metric: Literal["f1", "em"] = "f1"
    """What is reported and what chooses the best checkpoint: words in common with the answer, or
    the same answer exactly."""
    no_answer: StrictBool = False
    """Whether a text need not answer its question, as in SQuAD 2."""
    threshold: float = 0.0
    """With ``no_answer``: by how much the log probability of the best answer must at least exceed
    that of none; higher numbers leave more questions unanswered."""
    stride: Annotated[StrictInt, Field(ge=0)] | None = None
    """Tokens that neighbouring windows of a long text share; left out, a third of
    ``data.max_length``."""
    max_answer_length: Annotated[StrictInt, Field(ge=1)] = 30
    """Most tokens of an answer that is given."""
    max_question_length: PositiveInt | None = None
    """Tokens kept of a question; left out, 64 and at most half of ``data.max_length``."""


class VectorsTask(UnnamedOutputs):
    """A vector for each text, whose cosines say how alike texts are."""

    kind: Literal["vectors"]
    metric: Literal["spearman", "pearson"] = "spearman"
    """What is reported and what chooses the best checkpoint: a correlation between the cosines of
    pairs and their similarities in the data."""
    pooling: Literal["mean", "cls"] = "mean"
    """What a vector is made of: the ``mean`` of the tokens' last hidden states, or the first's."""
    normalize: StrictBool = True
    """Whether a bundle gives vectors of length 1; the score does not hang on it."""
    whitening: PositiveInt | None = None
    """Whiten the bundle's vectors, keeping so many dimensions (Su et al. 2021); the export tells
    what that does to the score."""


class TextTask(Section):
    """Unlabelled text: nothing is predicted, and what comes out is an encoder without a head."""

    kind: Literal["text"]

    # What other tasks say in a recipe, and this one has none of.
    labels: ClassVar[list[str] | None] = None
    metric: ClassVar[str] = ""


Task = Annotated[
    ClassificationTask
    | MultiLabelTask
    | NerTask
    | QuestionTask
    | RegressionTask
    | VectorsTask
    | TextTask,
    Field(discriminator="kind"),
]
