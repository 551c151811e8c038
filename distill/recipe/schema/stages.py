"""The ``stages`` section."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StrictBool, StrictStr

from distill.pruning.methods import AnyPrune
from distill.quantization.methods import AnyQuantize
from distill.recipe.schema.distill import DistillStage
from distill.section import Issues, Name, PositiveInt, Section, StageSection, TrainConfig

if TYPE_CHECKING:
    from distill.recipe.schema.recipe import Recipe
    from distill.recipe.shapes import Before


class AugmentStage(StageSection):
    """Make more training examples by replacing words: TinyBERT's data augmentation.

    The distill stages after it learn from the original and the augmented examples, with the
    teacher's outputs as targets. Teacher and baseline never see them.
    """

    kind: Literal["augment"]
    name: Name = "augment"
    """The stage's name."""
    copies: PositiveInt = 20
    """How often each example is tried to be changed; repetitions are dropped: at most so many."""
    replace: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Probability that a word which has candidates is replaced by one of them."""
    candidates: PositiveInt = 15
    """Words that a word may be replaced by."""
    words: Literal["auto", "mlm", "neighbours"] = "auto"
    """``mlm``: a masked-language model proposes what stands for a word of one piece, and nearest
    word vectors for the others; ``neighbours``: word vectors for all; ``auto``: ``mlm`` where the
    model has its head."""
    model: StrictStr | None = None
    """The masked-language model: a hub name, a folder or a run folder; left out, the pretrained
    model that the teacher is made from."""
    glove: StrictStr | None = None
    """Word vectors as text (GloVe, also .gz); left out, the model's own input embeddings."""
    segment: Literal["original", "none"] = "original"
    """``original``: the model also reads the unmasked sentence, as in the published code, so that
    replacements stay close; ``none``: only the masked one, as in the paper, and twice as fast."""
    stop_words: StrictBool = True
    """Leave function words (the, not, ...) as they are."""
    pair_columns: Literal["both", "text", "text_pair"] = "both"
    """Which texts of a pair are changed, always one at a time; ``both`` shares the copies."""
    teacher_agreement: StrictBool | Annotated[float, Field(gt=0, lt=1)] = False
    """Keep only examples that get the same label from the teacher as their original; a number is
    the least probability of that label."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        if self.pair_columns == "text_pair" and recipe.data.columns.text_pair is None:
            yield (
                ("pair_columns",),
                "the data have no second text; name its column in data.columns.text_pair",
            )


class PretrainStage(TrainConfig, StageSection):
    """Train an encoder on unlabelled text: masked tokens, and whether sentences go together."""

    kind: Literal["pretrain"]
    name: Name = "pretrain"
    """The stage's name."""
    mask: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of a sequence's tokens that are asked for."""
    whole_words: StrictBool = False
    """Choose whole words instead of pieces of them."""
    nsp: StrictBool = False
    """Read pairs of segments and ask whether the second continues the first (BERT did)."""


Format = Literal[
    "transformers",
    "onnx",
    "onnx-int8",
    "openvino",
    "openvino-int8",
    "torch-export",
    "numpy",
    "numpy-int8",
]


class ExportStage(StageSection):
    """Gather the final model into a bundle: a folder that is ready to deploy."""

    kind: Literal["export"]
    name: Name = "export"
    """The stage's name."""
    formats: Annotated[list[Format], Field(min_length=1)] = ["transformers", "onnx"]
    """``transformers``: safetensors and config; ``onnx`` and ``openvino``: fp32, and int8 after
    quantize; ``onnx-int8`` and ``openvino-int8``: only the latter, for the smallest folder;
    ``torch-export``: a ``.pt2`` program, which needs torch to run; ``numpy``, and ``numpy-int8``
    for int8 alone: a static student's table, all that it is exported as."""

    def exports(self, engine: str) -> bool:
        """Whether files of an engine (``onnx`` or ``openvino``) are asked for, fp32 or int8."""
        return any(name.partition("-")[0] == engine for name in self.formats)

    max_drop: Annotated[float, Field(ge=0, le=2)] = 0.01
    """Largest loss of score (absolute) of an exported format against the torch model."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        if self.exports("openvino") and importlib.util.find_spec("openvino") is None:
            yield ("formats",), "openvino needs openvino: pip install openvino nncf"
        quantised = any(stage.kind == "quantize" for stage in recipe.stages)
        for name in self.formats:
            if name.startswith("numpy") and recipe.student.has_layers:
                yield ("formats",), f"'{name}' is for student.kind: static; write onnx"
            if name.endswith("-int8") and not quantised:
                yield ("formats",), f"'{name}' needs a 'quantize' stage before"


_LIMITS = {
    "latency_ms": "at most {:g} ms",
    "size_mb": "at most {:g} MB",
    "throughput": "at least {:g} examples/s",
    "retention": "at least {:.1%} of the teacher",
}


class Limits(Section):
    """What a final model must keep."""

    latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Median milliseconds of one example, at most."""
    throughput: Annotated[float, Field(gt=0)] | None = None
    """Examples per second, at least."""
    size_mb: Annotated[float, Field(gt=0)] | None = None
    """Megabytes (10^6 bytes) of the model's files, at most."""
    retention: Annotated[float, Field(gt=0)] | None = None
    """Share of the teacher's score, at least: 0.98."""

    def ratios(self, found: Limits) -> dict[str, float]:
        """By how much each limit that is given is missed: above 1 where it is not kept.

        A number that is not known counts as 2.
        """
        ratios = {}
        for name, limit in self.model_dump(exclude_none=True).items():
            value = getattr(found, name)
            at_most = name in ("latency_ms", "size_mb")
            ratios[name] = 2.0 if value is None else value / limit if at_most else limit / value
        return ratios

    def missed(self, found: Limits) -> list[str]:
        """What is beyond the limits, in words: ``latency_ms 1.2 (limit 1)``."""
        return [
            f"{name} {getattr(found, name):.3g} (limit {getattr(self, name):g})"
            for name, ratio in self.ratios(found).items()
            if ratio > 1 and getattr(found, name) is not None
        ]

    def describe(self) -> str:
        """The limits in words: ``at most 1 ms and at most 6 MB``."""
        given = self.model_dump(exclude_none=True)
        return " and ".join(text.format(given[n]) for n, text in _LIMITS.items() if n in given)


class EvaluateStage(StageSection):
    """Score, time and weigh every model on the way."""

    kind: Literal["evaluate"]
    name: Name = "evaluate"
    """The stage's name."""
    batch_sizes: Annotated[list[PositiveInt], Field(min_length=1)] = [1, 32]
    """Batch sizes that are timed."""
    lengths: Annotated[list[PositiveInt | Literal["real"]], Field(min_length=1)] = ["real", 32]
    """What is timed: numbers of tokens, and ``real``, the scored examples' own lengths, which the
    table then shows."""
    threads: PositiveInt | None = None
    """CPU threads of every timed model; left out, all physical cores."""
    repeats: PositiveInt = 30
    """Timed calls per model, batch size and length, in rounds that take turns."""
    against: Literal["bert-base"] | None = None
    """A second model to be faster than: BERT-base's shape with random weights in PyTorch eager."""
    memory: StrictBool = False
    """Also measure the peak memory of a fresh process for each model."""
    limits: Limits | None = None
    """What the final model is meant to keep: it is the most accurate exported format that does, and
    table and model card say what was measured of it."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        most = before.teacher.student_positions if before.teacher else None
        if most and any(length != "real" and length > most for length in self.lengths):
            yield ("lengths",), f"teacher and student read at most {most} tokens"


Stage = Annotated[
    PretrainStage
    | DistillStage
    | AugmentStage
    | AnyPrune
    | AnyQuantize
    | ExportStage
    | EvaluateStage,
    Field(discriminator="kind"),
]
