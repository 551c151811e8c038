"""The ``teacher``, ``baseline`` and ``student`` sections."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr

from distill.recipe.model_shapes import TeacherShape, local_folder, teacher_shape
from distill.recipe.run_models import is_run, model_of_run
from distill.recipe.sizes import Size
from distill.section import Issues, PositiveInt, Section, TrainConfig, Weight, by_default
from distill.system.errors import ModelError, nearest

if TYPE_CHECKING:
    from distill.recipe.schema.recipe import Recipe

#: Ways to initialise the student that are no folder.
INITS = ("teacher-layers", "random")


class FinetuneConfig(TrainConfig):
    """Fine-tuning of the teacher on the task's labels."""

    freeze_layers: Annotated[StrictInt, Field(ge=0)] = 0
    """Keep the embeddings and so many of the lowest layers as they are; 0 trains all."""


class TeacherModel(Section):
    """One model that is learned from."""

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
    weight: Weight = 1.0
    """Its share in the average of several teachers' logits; the shares are made to add up to 1."""


class TargetFiles(Section):
    """Files with what a teacher predicted that ran elsewhere, by the rows it predicted for."""

    train: StrictStr
    """For the training examples, and for validation examples that are held out of them."""
    validation: StrictStr | None = None
    """For the examples of ``data.validation``."""
    test: StrictStr | None = None
    """For the examples of ``data.test``."""


class TeacherConfig(TeacherModel):
    """The model that is learned from; of several the first, which gives the inner signals.

    In place of a model, ``targets`` names what a teacher predicted that ran elsewhere.
    """

    model: StrictStr | None = None  # type: ignore[assignment]
    """A hub name, a folder, or ``minilm-l6`` (the pretrained BERT of the ``offline`` extra)."""
    more: list[TeacherModel] = []
    """Further teachers: the logits that are learned are the weighted average of all teachers'."""
    targets: StrictStr | TargetFiles | None = None
    """A file with a row for each training example (csv, tsv, jsonl, each also .gz, parquet, npy),
    or ``train``, ``validation`` and ``test`` with a file each. Rows are matched by
    ``data.columns.id``; without it, and in npy files, by their order."""
    values: Literal["probabilities", "logits", "scores", "vectors"] | None = None
    """What the numbers are; left out, probabilities, of a regression scores, of vectors vectors."""
    column: StrictStr | None = None
    """The column or key with the list of numbers; left out, the one called as ``values`` says,
    else one column for each label."""

    @property
    def all(self) -> list[TeacherModel]:
        """Every model to learn from by itself, the first one first; none with ``targets``."""
        own = {name: getattr(self, name) for name in TeacherModel.model_fields}
        return [] if self.model is None else [TeacherModel(**own), *self.more]

    @property
    def files(self) -> dict[str, str]:
        """The files that ``targets`` names, by the split that they are for."""
        if self.targets is None or isinstance(self.targets, str):
            return {} if self.targets is None else {"train": self.targets}
        return {split: file for split, file in self.targets if file is not None}

    def issues(self, max_length: int) -> Issues:
        """What asks for more tokens or layers than a teacher has."""
        for number, one in enumerate(self.all):
            loc: tuple[str | int, ...] = ("more", number - 1) if number else ()
            if (shape := teacher_shape(one.model)) is None:
                continue
            if number and max_length > shape.positions:
                message = f"reads at most {shape.positions} tokens; see data.max_length"
                yield (*loc, "model"), message
            if one.finetune is not None and one.finetune.freeze_layers > shape.layers:
                where = (*loc, "finetune", "freeze_layers")
                yield where, f"the teacher has only {shape.layers} layers"


class BaselineConfig(TrainConfig):
    """How the baseline (the student trained on labels only) is trained."""


class StudentSection(Section):
    """Base of the ``student`` sections."""

    kind: Any
    model: StrictStr | None = None
    """With ``teacher.targets``: the pretrained model whose tokenizer, and with ``teacher-layers``
    whose layers, it starts with: a hub name, a folder, or ``minilm-l6``."""

    #: Whether it has layers, so that more than its outputs can be matched.
    has_layers: ClassVar[bool] = True

    if TYPE_CHECKING:
        init: str

    @property
    def start(self) -> str | None:
        """The folder of the model that it starts from; ``None`` where there is none."""
        return None if self.init in INITS else self.init

    @property
    @abstractmethod
    def words(self) -> str:
        """What it is, for plans and cards."""


class EncoderStudent(StudentSection):
    """A smaller encoder of the teacher's family."""

    kind: Literal["encoder"] = "encoder"
    """A smaller encoder of the teacher's family."""
    size: StrictStr
    """``tinybert4`` (4 layers, 312 wide), ``tinybert6``, ... or ``LxD`` such as ``3x384``."""
    init: StrictStr = "teacher-layers"
    """``teacher-layers`` (copied, sliced where narrower), ``random``, or a model of this size: a
    hub name, a folder, or ``minilm-l6``."""
    init_layers: Literal["uniform", "first", "last"] | list[PositiveInt] = "uniform"
    """Which teacher layers are copied; a list counts them from 1."""

    @property
    def words(self) -> str:
        return self.size

    def issues(self, size: Size, teacher: TeacherShape) -> Issues:
        """What keeps the student from starting where the section says."""
        if self.init not in INITS:
            yield from ((("init",), message) for message in _init_folder(self.init, size))
        elif self.init == "teacher-layers" and teacher.gives_layers:
            yield from self._copy_rules(size, teacher)

    def _copy_rules(self, size: Size, teacher: TeacherShape) -> Issues:
        for what, small, large in (
            ("wide", size.hidden, teacher.hidden),
            ("wide in the feed-forward block", size.ffn, teacher.ffn),
        ):
            if small > large:
                yield (
                    ("size",),
                    f"the student is {small} {what} and the teacher {large}: its layers cannot be "
                    "copied; choose a narrower student or `init: random`",
                )
                break
        layers, loc = self.init_layers, ("init_layers",)
        if isinstance(layers, list):
            if len(layers) != size.layers:
                yield loc, f"names {len(layers)} layers and the student has {size.layers}"
            for layer in sorted({layer for layer in layers if layer > teacher.layers}):
                yield loc, f"there is no teacher layer {layer}; they are 1 to {teacher.layers}"
        elif size.layers > teacher.layers:
            yield (
                ("size",),
                f"the student has {size.layers} layers and the teacher only {teacher.layers}; "
                "choose a shallower student, `init: random`, or a list of `init_layers`",
            )


def _init_folder(init: str, size: Size) -> Iterator[str]:
    """What keeps a model from being where a student starts."""
    if (near := nearest(init, INITS)) and local_folder(init) is None:
        yield f"found '{init}'{near}"
        return
    folder = local_folder(init)
    if folder is not None and is_run(folder):
        try:
            model_of_run(folder)
        except ModelError as error:
            yield str(error)
            return
    shape = teacher_shape(init)
    wanted = (size.layers, size.hidden, size.heads, size.ffn)
    if shape and (shape.layers, shape.hidden, shape.heads, shape.ffn) != wanted:
        there = f"{shape.layers}x{shape.hidden}/{shape.heads}/{shape.ffn}"
        yield (
            f"the model there is {there} and the student "
            f"{'{}x{}/{}/{}'.format(*wanted)}; write student.size: {there}"
        )


class StaticStudent(StudentSection):
    """A table of token vectors, their mean and a head: no layers, and no more than numpy to run."""

    kind: Literal["static"]
    """A table of token vectors, their mean, and a head."""
    dim: PositiveInt = 256
    """Numbers of each token's vector: the teacher's vectors of single tokens, by PCA."""
    frequency: Literal["texts", "zipf", "none"] = "texts"
    """How common tokens are weighted down before training: a / (a + p) with their share p of the
    training ``texts``, or by their rank in the vocabulary (``zipf``)."""
    head_size: PositiveInt | None = None
    """Neurons of a hidden layer in the head; left out, the head is linear."""

    has_layers: ClassVar[bool] = False
    if not TYPE_CHECKING:
        init: ClassVar[str] = "token-vectors"

    @property
    def start(self) -> str | None:
        return None

    @property
    def words(self) -> str:
        return f"static, {self.dim} wide"

    def issues(self, recipe: Recipe, teacher: TeacherShape | None) -> Issues:
        """What of a recipe a student without layers cannot have."""
        task = recipe.task
        if task.learns_text or task.of_tokens:
            yield (
                ("student", "kind"),
                f"a static student gives one output for a text, and task.kind: {task.kind} needs "
                "one for each token; write student.kind: encoder",
            )
        elif task.has_candidates:
            message = f"a static student reads single texts, and task.kind: {task.kind} pairs"
            yield ("student", "kind"), f"{message}; write student.kind: encoder"
        elif recipe.data.columns.text_pair is not None and not task.gives_vectors:
            yield ("data", "columns", "text_pair"), NO_PAIRS
        if getattr(task, "pooling", "mean") != "mean":
            message = "a static student's vector is the mean of its tokens'; write mean"
            yield ("task", "pooling"), message
        if task.gives_vectors and self.head_size is not None:
            yield ("student", "head_size"), "sentence vectors have no head; leave it out"
        if teacher is not None and self.dim > teacher.hidden:
            message = f"{self.dim} is more than the teacher's {teacher.hidden}; write less"
            yield ("student", "dim"), message
        for index, stage in enumerate(recipe.stages):
            for loc, message in _without_layers(stage):
                yield ("stages", index, *loc), message
        if getattr(recipe.baseline, "layer_decay", 1.0) != 1.0:
            yield ("baseline", "layer_decay"), _NO_DECAY


#: What to do where texts come in pairs.
NO_PAIRS = "a static student reads single texts; leave it out, or write student.kind: encoder"
_NO_DECAY = "a static student has no layers; leave it out"


def _without_layers(stage: Any) -> Issues:
    if stage.kind == "prune" and not stage.own_tokens:
        message = f"{stage.method} prunes encoders, and a static student is none"
        yield ("method",), f"{message}; write method: vocabulary, or leave the stage out"
    if stage.kind == "quantize" and stage.method != "table":
        yield ("method",), f"{stage.method} is for encoders; write table, or leave it out"
    for name in getattr(stage, "formats", ()):
        if name not in ("numpy", "numpy-int8"):
            yield ("formats",), f"'{name}' is for encoders; a static student is exported as numpy"
    if getattr(stage, "layer_decay", 1.0) != 1.0:
        yield ("layer_decay",), _NO_DECAY


AnyStudent = Annotated[
    Annotated[EncoderStudent | StaticStudent, Field(discriminator="kind")],
    by_default("kind", "encoder"),
]
