"""What a recipe may say: frozen pydantic models that refuse unknown keys.

Loading a recipe neither imports nor runs what it names, and this module imports nothing heavier
than pydantic, so that ``ls``, ``show``, ``validate`` and ``schema`` answer at once.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, field_validator

Name = Annotated[
    StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", description="Lower-case name, no spaces.")
]
PositiveInt = Annotated[StrictInt, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """Base of every part of a recipe: frozen, unknown keys refused, no silent conversion."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


class ClassificationTask(Section):
    """One label for a sentence or a pair of sentences."""

    kind: Literal["classification"]
    labels: Annotated[list[StrictStr], Field(min_length=2)] | None = None
    """Label names in the order of their integers; left out, they come from the training data."""
    metric: Literal["accuracy", "f1", "macro_f1", "mcc"] = "accuracy"
    """What is reported and what chooses the best checkpoint; ``f1`` is of the second label."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str] | None) -> list[str] | None:
        if labels is not None and len(set(labels)) != len(labels):
            raise ValueError("a label stands in the list twice")
        return labels


Task = ClassificationTask


class Columns(Section):
    """Which columns of the data hold what."""

    text: StrictStr = "text"
    """The column with the text (or the first sentence of a pair)."""
    text_pair: StrictStr | None = None
    """The column with the second sentence of a pair."""
    label: StrictStr = "label"
    """The column with the label: a name, or its integer."""


class DataConfig(Section):
    """Where the rows come from."""

    source: Literal["builtin", "files", "hub"]
    """``builtin`` (made from installed packages), ``files`` (paths) or ``hub`` (a name)."""
    path: StrictStr | None = None
    """The hub data set (``nyu-mll/glue``) or the built-in one (``docstrings``)."""
    subset: StrictStr | None = None
    """The hub data set's configuration, such as ``sst2``; only ``hub`` uses it."""
    revision: StrictStr | None = None
    """The hub data set's revision; only ``hub`` uses it."""
    train: StrictStr | None = None
    """``files``: csv, tsv, jsonl (each optionally .gz), parquet or a saved ``datasets`` folder;
    ``hub``: the split's name, if it is not ``train``."""
    validation: StrictStr | None = None
    """Chooses checkpoints. Left out, a tenth of the training rows is held out for it."""
    test: StrictStr | None = None
    """Scored at the end only. Left out, the final table scores the validation rows and says so."""
    columns: Columns = Columns()
    """Which columns hold the text and the label."""
    max_length: Annotated[StrictInt, Field(ge=8, le=512)] = 128
    """Tokens kept of an example, special tokens included; how many rows were cut is reported."""
    limit_train: PositiveInt | None = None
    """Use only so many training rows, drawn by the seed."""
    limit_validation: PositiveInt | None = None
    """Use only so many validation (and test) rows, drawn by the seed."""


class TrainConfig(Section):
    """How weights are trained: shared by every stage that trains."""

    epochs: PositiveInt = 3
    """Passes over the training rows."""
    lr: Annotated[float, Field(gt=0, lt=1)] = 5e-5
    """Peak learning rate of AdamW."""
    batch_size: PositiveInt = 32
    """Examples per optimiser step on one device."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are added up for one optimiser step."""
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises to its peak."""
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    """The learning rate after warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay; biases and LayerNorm weights have none."""
    clip: Annotated[float, Field(ge=0)] = 1.0
    """Largest global gradient norm; 0 does not clip."""
    dropout: Share | None = None
    """Dropout while training; left out, the model's own. Drawing it takes time on a CPU."""
    evaluations_per_epoch: PositiveInt = 1
    """How often an epoch is scored on the validation rows (evenly spaced)."""
    patience: PositiveInt | None = None
    """Stop after so many evaluations without a better score; left out, never."""


class FinetuneConfig(TrainConfig):
    """Fine-tuning of the teacher on the task's labels."""

    freeze_layers: Annotated[StrictInt, Field(ge=0)] = 0
    """Keep the embeddings and so many of the lowest layers as they are; 0 trains all."""


class TeacherConfig(Section):
    """The model that is learned from."""

    model: StrictStr
    """A hub name, a folder, or ``minilm-l6`` (the pretrained BERT of the ``offline`` extra)."""
    revision: StrictStr | None = None
    """The hub revision."""
    trust_remote_code: StrictBool = False
    """Allow code that comes with the model to run. Off unless you say so."""
    finetune: FinetuneConfig | None = None
    """Train it on the task first; left out, it is used as it is, its labels checked by name."""
    labels: list[StrictStr] | None = None
    """A fine-tuned teacher's label names, in order, where its folder does not give them."""


class BaselineConfig(TrainConfig):
    """How the baseline (the student trained on labels only) is trained."""


class StudentConfig(Section):
    """The small model."""

    size: StrictStr
    """``tinybert4`` (4 layers, 312 wide), ``tinybert6``, ... or ``LxD`` such as ``3x384``."""
    init: StrictStr = "teacher-layers"
    """``teacher-layers`` (copied, sliced where narrower), ``random``, or the folder of a model."""
    init_layers: Literal["uniform", "first", "last"] | list[PositiveInt] = "uniform"
    """Which teacher layers are copied; a list counts them from 1."""


class ObjectiveConfig(Section):
    """Base of the objectives: one loss over a signal."""

    weight: Weight = 1.0
    """Factor of this loss in the sum."""


class EmbeddingObjective(ObjectiveConfig):
    """Mean squared error between the embedding outputs (TinyBERT eq. 9)."""

    kind: Literal["embedding"]


class AttentionObjective(ObjectiveConfig):
    """Mean squared error between attention scores before the softmax (TinyBERT eq. 7)."""

    kind: Literal["attention"]


class HiddenObjective(ObjectiveConfig):
    """Mean squared error between hidden states at mapped layers (TinyBERT eq. 8)."""

    kind: Literal["hidden"]


class LogitsObjective(ObjectiveConfig):
    """Soft cross-entropy between teacher and student logits (TinyBERT eq. 10)."""

    kind: Literal["logits"]
    loss: Literal["soft_ce", "kl", "mse"] = "soft_ce"
    """``soft_ce`` and ``kl`` have the same gradient; ``mse`` matches raw logits."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Both sides' logits are divided by it; the loss is multiplied by its square."""
    hard_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the cross-entropy with the true label in this loss."""


Objective = Annotated[
    EmbeddingObjective | AttentionObjective | HiddenObjective | LogitsObjective,
    Field(discriminator="kind"),
]
LayerPair = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]


class DistillStage(TrainConfig):
    """Train the student to match the teacher's signals."""

    kind: Literal["distill"]
    name: Name = "distill"
    """The stage's name: its folder, its curves, and the key of overrides."""
    objectives: Annotated[list[Objective], Field(min_length=1)]
    """What is matched; the losses are added up by weight."""
    layer_map: Literal["uniform", "first", "last", "skip"] | list[LayerPair] = "uniform"
    """Which teacher layer each student layer learns from; a list of [student, teacher] from 1."""
    mode: Literal["masked"] = "masked"
    """``masked``: the mean over real tokens, so that padding changes nothing."""
    projection: Literal["shared", "per_layer"] = "per_layer"
    """One learned projection to the teacher's width for all hidden states, or one for each."""


class PruneStage(Section):
    """Remove attention heads and feed-forward neurons, then recover by distillation."""

    kind: Literal["prune"]
    name: Name = "prune"
    """The stage's name."""
    method: Literal["taylor"] = "taylor"
    """``taylor``: first-order effect on the distillation loss (NNI)."""
    heads: Share = 0.33
    """Share of the attention heads removed in every layer, rounded to whole heads."""
    ffn: Share = 0.5
    """Share of the feed-forward neurons removed in every layer."""
    score_steps: PositiveInt = 50
    """Batches over which the scores are gathered."""
    batch_size: PositiveInt = 32
    """Examples in each of them."""
    recover: TrainConfig | None = TrainConfig(epochs=1)
    """Distillation of the logits after surgery; ``null`` leaves it out."""


class QuantizeStage(Section):
    """Turn the weights into int8 (ONNX)."""

    kind: Literal["quantize"]
    name: Name = "quantize"
    """The stage's name."""
    method: Literal["dynamic"] = "dynamic"
    """``dynamic``: int8 weights and embeddings, activations quantised as they come."""
    per_channel: StrictBool = True
    """One scale for each output channel; otherwise one for each tensor."""
    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Largest loss of score (absolute) against the same model unquantised."""


class ExportStage(Section):
    """Gather the final model into a bundle: a folder that is ready to deploy."""

    kind: Literal["export"]
    name: Name = "export"
    """The stage's name."""
    formats: Annotated[list[Literal["transformers", "onnx"]], Field(min_length=1)] = [
        "transformers",
        "onnx",
    ]
    """``transformers``: safetensors and config; ``onnx``: fp32, and int8 after quantize."""
    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Largest loss of score (absolute) of an exported format against the torch model."""


class EvaluateStage(Section):
    """Score, time and weigh every model on the way."""

    kind: Literal["evaluate"]
    name: Name = "evaluate"
    """The stage's name."""
    batch_sizes: Annotated[list[PositiveInt], Field(min_length=1)] = [1, 32]
    """Batch sizes that are timed."""
    lengths: Annotated[list[PositiveInt], Field(min_length=1)] = [32]
    """Sequence lengths in tokens that are timed."""
    threads: PositiveInt | None = None
    """CPU threads of every timed model; left out, all physical cores."""
    repeats: PositiveInt = 30
    """Timed calls per model, batch size and length, in rounds that take turns."""


Stage = Annotated[
    DistillStage | PruneStage | QuantizeStage | ExportStage | EvaluateStage,
    Field(discriminator="kind"),
]


class TrainerConfig(Section):
    """The machine: how Lightning runs."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto``: bf16 autocast where CPU or GPU has it in hardware, else fp32."""
    threads: PositiveInt | None = None
    """CPU threads of training; left out, all physical cores."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where it runs."""
    devices: PositiveInt = 1
    """How many of them."""
    strategy: StrictStr = "auto"
    """A Lightning strategy, such as ``ddp``."""
    checkpoint_steps: PositiveInt = 200
    """Steps between checkpoints that a killed run resumes from."""


class WandbConfig(Section):
    """Weights & Biases."""

    project: StrictStr = "distill"
    """The project."""
    mode: Literal["offline", "online", "off"] = "offline"
    """``offline`` writes a folder for ``wandb sync``; nothing ever prompts for a key."""
    entity: StrictStr | None = None
    """The user or team."""
    tags: list[StrictStr] = []
    """Tags of every run of the group."""


class TrackConfig(Section):
    """Tracking beside the CSV, which is always written."""

    wandb: WandbConfig | None = None
    """Left out, W&B is not used."""


class Recipe(Section):
    """One recipe: from a task and a BERT to a small model in a folder, with a table."""

    recipe: Literal[1]
    """The schema's version."""
    name: Name
    """The recipe's name: what run folders and reports are called."""
    description: StrictStr = ""
    """One line for ``distill ls``."""
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 42
    """Seeds data order, initialisation and dropout."""
    task: Task
    """What is predicted."""
    data: DataConfig
    """What is learned from."""
    teacher: TeacherConfig
    """Whom is learned from."""
    student: StudentConfig
    """Who learns."""
    baseline: BaselineConfig | StrictBool = True
    """Train the student on labels only too, to compare with; ``false`` leaves it out."""
    stages: Annotated[list[Stage], Field(min_length=1)]
    """What is done, in order."""
    trainer: TrainerConfig = TrainerConfig()
    """How Lightning runs."""
    track: TrackConfig = TrackConfig()
    """Where curves and results go."""


def json_schema() -> dict[str, Any]:
    """The JSON schema of a recipe, for editors that complete and check YAML."""
    return Recipe.model_json_schema()
