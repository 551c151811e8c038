"""The recipe as a whole, and its ``trainer`` and ``track`` sections."""

from __future__ import annotations

import re
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    GetCoreSchemaHandler,
    StrictBool,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import CoreSchema

from distill.pruning.methods import PruneStage
from distill.recipe.schema.data import DataConfig
from distill.recipe.schema.distill import DistillStage
from distill.recipe.schema.models import (
    AnyStudent,
    BaselineConfig,
    FinetuneConfig,
    TeacherConfig,
    TeacherModel,
)
from distill.recipe.schema.stages import Format, Stage
from distill.section import Issues, Name, PositiveInt, Section
from distill.tasks import KINDS, config_class, on_register
from distill.tasks.config import TaskSection

#: Names in the run folder and in the results that are not a stage's to take.
_TEACHERS = re.compile(r"teachers|teacher-\d+")
RESERVED = {"teacher", "baseline", "onnx-int4", *get_args(Format)} - {"transformers"}
#: What stages of a recipe with a static student are, where they do not say it.
_OF_STATIC: dict[str, dict[str, Any]] = {
    "quantize": {"method": "table"},
    "export": {"formats": ["numpy"]},
}
#: Metrics between -1 and 1; the others lie between 0 and 1.
_CORRELATIONS = ("pearson", "spearman", "mcc")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Keys of a file that are gone when its base is merged below it.
_ONLY_IN_FILES: dict[str, Any] = {
    "base": {
        "type": "string",
        "minLength": 1,
        "description": "What this file is laid over: a recipe's name, or a path relative to this "
        "file. Mappings merge, lists replace.",
    },
    "set": {
        "type": "object",
        "description": "Dotted settings that reach into the base's lists, such as "
        "``stages.intermediate.epochs: 50``; ``null`` removes an item.",
    },
}


def _all_different(seeds: list[int]) -> list[int]:
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise ValueError(f"{twice[0]} stands here twice; every seed is done once")
    return seeds


Seed = Annotated[StrictInt, Field(ge=0, lt=2**31)]
Seeds = Annotated[list[Seed], AfterValidator(_all_different)]


class _AnyKind:
    """Reads a section by its ``kind``, of the kinds there are when a model is built."""

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        union: Any = reduce(or_, (config_class(kind) for kind in KINDS))
        return handler.generate_schema(Annotated[union, Field(discriminator="kind")])


Task = Annotated[TaskSection, _AnyKind()]


class TrainerConfig(Section):
    """The machine: how Lightning runs."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """``auto``: bf16 autocast where CPU or GPU has it in hardware, else fp32."""
    threads: PositiveInt | None = None
    """CPU threads of training, shared by its processes; left out, all physical cores."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where it runs."""
    devices: PositiveInt = 1
    """GPUs, or processes on a CPU, of a machine; they share each batch equally."""
    num_nodes: PositiveInt = 1
    """Machines; more than one are started with ``torchrun`` or ``srun``."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """``ddp``: every process holds the model; ``fsdp``: each holds its part of it."""
    deterministic: bool = False
    """Deterministic kernels only: slower, and needed for the same weights each time on a GPU."""
    checkpoint_steps: PositiveInt = 200
    """Steps between checkpoints that a killed run resumes from."""

    @property
    def processes(self) -> int:
        return self.devices * self.num_nodes

    @property
    def sharded(self) -> bool:
        """Whether each process holds a part of the model."""
        return self.strategy == "fsdp" and self.processes > 1


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
    seed: Seed = 42
    """Seeds data order, initialisation and dropout."""
    seeds: Annotated[Seeds, Field(min_length=2)] | None = None
    """In place of ``seed``: ``distill study`` does the whole recipe once for each."""
    task: Task
    """What is predicted."""
    data: DataConfig
    """The examples to train and score on."""
    teacher: TeacherConfig
    """The model to learn from."""
    student: AnyStudent
    """The model to train."""
    baseline: BaselineConfig | StrictBool = True
    """Train the student on labels only too, to compare with; ``false`` leaves it out."""
    linear: StrictBool = True
    """Also score what needs no BERT (TF-IDF and a linear model, or what stands for it), as the
    first row of the table; ``false`` leaves it out."""
    stages: Annotated[list[Stage], Field(min_length=1)]
    """What is done, in order."""
    trainer: TrainerConfig = TrainerConfig()
    """How Lightning runs."""
    track: TrackConfig = TrackConfig()
    """Where curves and results go."""

    @model_validator(mode="before")
    @classmethod
    def _of_static(cls, content: Any) -> Any:
        """A static student's stages are by default what it can have."""
        match content:
            case {"student": {"kind": "static"}, "stages": [*stages]}:
                return content | {"stages": [_with_defaults(stage) for stage in stages]}
        return content

    @property
    def source(self) -> TeacherModel:
        """The model that the student's tokenizer, and its layers where copied, come from.

        The first teacher; where that is a file, the student's own model, with a head to be trained.
        """
        if self.teacher.all:
            return self.teacher.all[0]
        return TeacherModel(
            model=self.student.model or self.student.init, finetune=FinetuneConfig()
        )

    def with_seed(self, seed: int) -> Recipe:
        return self.model_copy(update={"seed": seed, "seeds": None})

    def issues(self) -> Issues:
        """What its sections say of each other: seeds, names and order of stages, ``max_drop``."""
        if self.seeds is not None and "seed" in self.model_fields_set:
            yield ("seed",), "given beside 'seeds'; leave one of them out"
        first: dict[str, int] = {}
        for index, stage in enumerate(self.stages):
            loc = ("stages", index, "name")
            if stage.name in RESERVED or _TEACHERS.fullmatch(stage.name):
                yield loc, f"'{stage.name}' is taken; choose another name"
            elif stage.name in first:
                other = f"stages[{first[stage.name]}]"
                yield loc, f"'{stage.name}' is the name of {other} too; give each its own"
            first.setdefault(stage.name, index)
            if message := self._misplaced(index):
                yield ("stages", index, "kind"), message
            most, metric = getattr(stage, "max_drop", None), self.task.metric
            if most is not None and most > 1 and metric not in _CORRELATIONS:
                message = f"is {most:g}, but {metric} can fall by no more than 1"
                yield ("stages", index, "max_drop"), message

    def _misplaced(self, index: int) -> str | None:
        """distill, prune, ... then quantize, export, evaluate, each at most once."""
        kind, earlier = self.stages[index].kind, {stage.kind for stage in self.stages[:index]}
        if kind in earlier and kind in ("quantize", "export", "evaluate"):
            return f"a second '{kind}' stage; keep one"
        if "evaluate" in earlier:
            return "nothing comes after 'evaluate', which is the last stage"
        if kind != "evaluate" and "export" in earlier:
            return f"'{kind}' comes before 'export', which gathers the final model"
        if kind in ("augment", "distill", "prune") and "quantize" in earlier:
            return f"'{kind}' comes before 'quantize': int8 weights are not trained"
        if kind == "augment" and not any(map(_learns_augmented, self.stages[index + 1 :])):
            return "no 'distill' stage after it learns from its examples; put it before one"
        if kind in ("prune", "quantize", "export") and "distill" not in earlier:
            return f"'{kind}' needs a trained student: put a 'distill' stage before it"
        return None


def _with_defaults(stage: Any) -> Any:
    match stage:
        case {"kind": str(kind)} if kind in _OF_STATIC:
            return _OF_STATIC[kind] | stage
    return stage


def _learns_augmented(stage: Stage) -> bool:
    if isinstance(stage, PruneStage):
        return stage.learns_augmented
    return isinstance(stage, DistillStage) and stage.augmented


def file_schema() -> dict[str, Any]:
    """What an editor checks a recipe's file against.

    A file without ``base`` is a whole recipe. With it, any key may be left out at the top and in
    the sections that merge; an item of a list is whole, as lists are replaced.
    """
    whole = Recipe.model_json_schema()
    definitions = whole.pop("$defs")
    parts = {key: _part(value, definitions) for key, value in whole["properties"].items()}
    part = whole | {"properties": _ONLY_IN_FILES | parts, "required": ["base"]}
    return {
        "$schema": _DIALECT,
        "title": "Recipe",
        "if": {"type": "object", "required": ["base"]},
        "then": {"$ref": "#/$defs/RecipeWithBase"},
        "else": {"$ref": "#/$defs/Recipe"},
        "$defs": definitions | {"Recipe": whole, "RecipeWithBase": part},
    }


def _part(value: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A value of the recipe whose sections need not be whole."""
    if kinds := value.get("oneOf") or value.get("anyOf"):
        kept = {key: one for key, one in value.items() if key not in ("oneOf", "discriminator")}
        return kept | {"anyOf": [_part(kind, definitions) for kind in kinds]}
    if "$ref" in value:
        section = definitions[value["$ref"].rpartition("/")[2]] | value
        return {key: one for key, one in section.items() if key not in ("$ref", "required")}
    return value


# The task section is read by the kinds of task there are.
on_register(lambda: Recipe.model_rebuild(force=True))
