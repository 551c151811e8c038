"""Rules that hold between the parts of a recipe, checked before anything heavy is imported.

What depends on the teacher's shape is checked where that shape is known without loading it.
"""

from __future__ import annotations

from collections.abc import Mapping

from distill.recipe.model_shapes import TeacherShape, teacher_shape
from distill.recipe.plan import plan_stages
from distill.recipe.schema import (
    BUILTIN,
    DistillStage,
    EncoderStudent,
    Recipe,
    StaticStudent,
    TrainConfig,
)
from distill.recipe.schema.objectives import LogitsObjective
from distill.recipe.shapes import Before, Shape
from distill.recipe.sizes import Size, resolve_size
from distill.recipe.yaml_lines import Loc
from distill.section import Issues
from distill.system.errors import ModelError
from distill.tasks import KINDS, config_class
from distill.tasks.config import UnnamedOutputs


def check(recipe: Recipe) -> Issues:
    """Every rule that the recipe breaks: where, and what to do."""
    teacher, student, size = teacher_shape(recipe.source.model), recipe.student, None
    try:
        size = student_size(recipe)
    except ModelError as error:
        yield ("student", "size"), str(error)
    for rule in (
        Recipe.issues,
        _data_section,
        _columns,
        _labels_loss,
        _teacher,
        _teacher_labels,
        _strategy,
        _shared_batches,
    ):
        yield from rule(recipe)
    width = None if size is None else size.hidden
    if isinstance(student, StaticStudent):
        yield from student.issues(recipe, teacher)
        width = student.dim
    yield from recipe.task.issues(recipe, width)
    if teacher is not None:
        if recipe.data.max_length > teacher.positions:
            yield ("data", "max_length"), f"the teacher reads at most {teacher.positions} tokens"
        for loc, message in recipe.teacher.issues(recipe.data.max_length):
            yield ("teacher", *loc), message
        if isinstance(student, EncoderStudent) and size is not None:
            for loc, message in student.issues(size, teacher):
                yield ("student", *loc), message
    begun = None
    if size is not None:
        whole = teacher or TeacherShape(size.layers, size.hidden, size.heads, size.ffn, vocab=0)
        begun = Shape.of_teacher(whole, 0).student(size)
    before = Before(begun, teacher)
    for index, stage in enumerate(recipe.stages):
        for loc, message in stage.issues(recipe, before):
            yield ("stages", index, *loc), message
        before = before.after(stage)


def student_size(recipe: Recipe) -> Size | None:
    """The student's shape, with the teacher's number of heads where that is known and fits.

    ``None`` of one without layers.

    Raises:
        ModelError: the size is unknown.
    """
    teacher = teacher_shape(recipe.source.model)
    heads = (teacher.hidden, teacher.heads) if teacher else None
    if not isinstance(recipe.student, EncoderStudent):
        return None
    return resolve_size(recipe.student.size, head_dim_of=heads)


def _data_section(recipe: Recipe) -> Issues:
    data = recipe.data
    if data.source == "hub" and not data.path:
        yield ("data", "path"), "missing; 'hub' needs a data set's name, such as nyu-mll/glue"
    if data.source == "files" and not data.train:
        yield ("data", "train"), "missing; 'files' needs the path of the training examples"
    if data.source == "builtin" and data.path not in BUILTIN:
        found = f"found '{data.path}'" if data.path else "missing"
        yield ("data", "path"), f"{found}; the built-in data sets are: {', '.join(BUILTIN)}"
    if data.more and data.source == "builtin":
        yield (
            ("data", "more"),
            "only for examples with labels from `files` or the `hub`; leave it out",
        )
    named = {
        key: column
        for key in recipe.task.columns
        if key != "separator" and (column := getattr(data.columns, key)) is not None
    }
    # A kind that reads neither a text nor a query says itself that there is no such data set.
    if data.source == "builtin" and {"text", "query"} & set(named):
        own = BUILTIN.get(data.path or "", ())
        for key, column in named.items():
            if own and column not in own:
                there = f"'{data.path}' has no column '{column}'; its columns are {', '.join(own)}"
                yield ("data", "columns", key), there
    for index, (key, column) in enumerate(named.items()):
        for other, same in list(named.items())[:index]:
            if column == same:
                yield (
                    ("data", "columns", key),
                    f"'{column}' is the column of '{other}' too; they differ",
                )


def _columns(recipe: Recipe) -> Issues:
    """Columns that the task has no use for; a resolved recipe names those it has by default."""
    task, given = recipe.task, recipe.data.columns
    for key, field in type(given).model_fields.items():
        if key in task.columns or getattr(given, key) == field.default:
            continue
        others = [kind for kind in KINDS if key in config_class(kind).columns]
        said = f"task.kind: {task.kind} has the columns {', '.join(task.columns)}"
        if len(others) == 1:
            said = f"only for task.kind: {others[0]}"
        yield ("data", "columns", key), f"{said}; leave it out"


#: Settings of a teacher that is a model, and of one that is a file.
_OF_MODELS = ("model", "revision", "trust_remote_code", "finetune", "weight", "more")
_OF_FILES = ("values", "column")


def _teacher(recipe: Recipe) -> Issues:
    """A teacher that is neither a model nor a file, or both; and a student without a start."""
    teacher, start = recipe.teacher, recipe.student.model
    if teacher.targets is None:
        if teacher.model is None:
            about = "a hub name, a folder, or 'minilm-l6'; or give `targets`, a file"
            yield ("teacher", "model"), f"missing; {about}"
        for key in _OF_FILES:
            if getattr(teacher, key) is not None:
                yield ("teacher", key), "only with `targets`; leave it out"
        if start is not None:
            why = "only with teacher.targets; the student starts from the teacher"
            yield ("student", "model"), f"{why}: leave it out, or name a folder in student.init"
        return
    fields = type(teacher).model_fields
    for key in _OF_MODELS:
        if getattr(teacher, key) != fields[key].default:
            yield ("teacher", key), "a teacher is a model or `targets`; leave one of them out"
    if start is None and recipe.student.start is None:
        yield (
            ("student", "model"),
            "missing; with teacher.targets no model says what the student starts with: name one "
            "for its tokenizer and layers, such as minilm-l6",
        )
    yield from _targets(recipe)


def _targets(recipe: Recipe) -> Issues:
    teacher, task = recipe.teacher, recipe.task
    if not task.targets:
        able = ", ".join(kind for kind in KINDS if config_class(kind).targets)
        yield (
            ("teacher", "targets"),
            f"not for task.kind: {task.kind}, whose teacher is a model; works with: {able}",
        )
        return
    if teacher.values is not None and teacher.values not in task.targets:
        wanted = " or ".join(task.targets)
        yield ("teacher", "values"), f"a {task.kind} task learns from {wanted}; write that"
    labels = teacher.labels
    if labels is not None and isinstance(task, UnnamedOutputs) and not task.gives_vectors:
        yield ("teacher", "labels"), f"{task.targets[0]} have no labels; leave it out"
    elif labels is not None and not task.teacher_labels_fit(labels):
        found = f"found {', '.join(labels)}"
        yield (
            ("teacher", "labels"),
            f"{found}; the task's labels are {', '.join(task.labels or ())}",
        )
    for index, stage in enumerate(recipe.stages):
        if stage.kind == "augment":
            yield (
                ("stages", index, "kind"),
                "'augment' makes examples that teacher.targets has no targets for: leave it out",
            )


def _teacher_labels(recipe: Recipe) -> Issues:
    labels = recipe.task.labels
    for number, teacher in enumerate(recipe.teacher.all):
        loc: Loc = ("teacher", "more", number - 1, "labels") if number else ("teacher", "labels")
        if teacher.labels is None:
            continue
        if teacher.finetune is not None:
            yield loc, "only for a teacher that is used as it is; leave it or `finetune` out"
        elif labels is not None and not recipe.task.teacher_labels_fit(teacher.labels):
            found = f"found {', '.join(teacher.labels)}"
            yield loc, f"{found}; the task's labels are {', '.join(labels)}"


def _labels_loss(recipe: Recipe) -> Issues:
    """Weights of labels that are not there, and settings that no training of the recipe reads."""
    labels = recipe.task.labels
    for key, value in recipe.task.label_settings().items():
        if isinstance(value, Mapping) and labels is not None:
            for name in sorted(set(value) - set(labels)):
                yield ("task", key, name), f"no label; labels are {', '.join(labels)}"
        if not _learns_labels(recipe):
            yield (
                ("task", key),
                "does nothing: no teacher is fine-tuned, there is no baseline, and no logits "
                "objective has a hard_weight; leave it out",
            )


def _strategy(recipe: Recipe) -> Issues:
    trainer = recipe.trainer
    if trainer.strategy == "fsdp" and not trainer.sharded:
        yield (
            ("trainer", "strategy"),
            "fsdp shares a model among processes, and here is one; set trainer.devices, or "
            "strategy: ddp, which goes on from its checkpoints",
        )


def _shared_batches(recipe: Recipe) -> Issues:
    processes = recipe.trainer.processes
    for stage in plan_stages(recipe):
        part = stage.config
        found = [part, getattr(part, "finetune", None), getattr(part, "recovery", None)]
        for config in (one for one in found if isinstance(one, TrainConfig)):
            if config.batch_size % processes:
                fewer = config.batch_size // processes * processes
                yield (
                    ("trainer", "devices"),
                    f"{processes} processes cannot share {stage.name}'s batches of "
                    f"{config.batch_size} equally; take another number, or batch_size: "
                    f"{f'{fewer} or ' if fewer else ''}{fewer + processes}",
                )


def _learns_labels(recipe: Recipe) -> bool:
    return (
        recipe.baseline is not False
        or any(teacher.finetune is not None for teacher in recipe.teacher.all)
        or any(
            isinstance(objective, LogitsObjective) and objective.hard_weight > 0
            for stage in recipe.stages
            if isinstance(stage, DistillStage)
            for objective in stage.objectives
        )
    )
