"""Rules that hold between the parts of a recipe, checked before anything heavy is imported.

What depends on the teacher's shape is checked where that shape is known without loading it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator

from distill.errors import ModelError
from distill.recipe.known import TeacherShape, local_folder, teacher_shape
from distill.recipe.schema import (
    DistillStage,
    EvaluateStage,
    PruneStage,
    Recipe,
    Stage,
)
from distill.recipe.sizes import Size, resolve_size
from distill.recipe.yaml_lines import Loc

Findings = Iterator[tuple[Loc, str]]

#: Data sets that need no network.
BUILTIN = ("docstrings",)
#: Names in the run folder and in the results that are not a stage's to take.
RESERVED = ("teacher", "baseline", "onnx", "onnx-int8")
#: Ways to initialise the student that are no folder.
INITS = ("teacher-layers", "random")


def check(recipe: Recipe) -> list[tuple[Loc, str]]:
    """Every rule that the recipe breaks: where, and what to do.

    Args:
        recipe: one that satisfies the schema.
    """
    teacher = teacher_shape(recipe.teacher.model)
    size, findings = _size(recipe, teacher)
    rules: list[Callable[[Recipe], Findings]] = [_data, _task, _teacher_labels, _names, _order]
    for rule in rules:
        findings.extend(rule(recipe))
    if size is not None:
        findings.extend(_explicit_student_layers(recipe, size))
    if teacher is not None:
        findings.extend(_lengths(recipe, teacher))
        if size is not None:
            findings.extend(_initialisation(recipe, size, teacher))
            findings.extend(_matching(recipe, size, teacher))
    return findings


def student_size(recipe: Recipe) -> Size:
    """The student's shape, with the teacher's number of heads where that is known and fits.

    Raises:
        ModelError: the size is unknown.
    """
    teacher = teacher_shape(recipe.teacher.model)
    heads = (teacher.hidden, teacher.heads) if teacher else None
    return resolve_size(recipe.student.size, head_dim_of=heads)


def _size(
    recipe: Recipe, teacher: TeacherShape | None
) -> tuple[Size | None, list[tuple[Loc, str]]]:
    heads = (teacher.hidden, teacher.heads) if teacher else None
    try:
        return resolve_size(recipe.student.size, head_dim_of=heads), []
    except ModelError as error:
        return None, [(("student", "size"), str(error))]


def _data(recipe: Recipe) -> Findings:
    data = recipe.data
    if data.source == "hub" and not data.path:
        yield ("data", "path"), "missing; 'hub' needs a data set's name, such as nyu-mll/glue"
    if data.source == "files" and not data.train:
        yield ("data", "train"), "missing; 'files' needs the path of the training rows"
    if data.source == "builtin" and data.path not in BUILTIN:
        found = f"found '{data.path}'" if data.path else "missing"
        yield ("data", "path"), f"{found}; the built-in data sets are: {', '.join(BUILTIN)}"
    named = [
        (key, column)
        for key, column in (
            ("text", data.columns.text),
            ("text_pair", data.columns.text_pair),
            ("label", data.columns.label),
        )
        if column is not None
    ]
    for index, (key, column) in enumerate(named):
        for other, same in named[:index]:
            if column == same:
                yield (
                    ("data", "columns", key),
                    f"'{column}' is the column of '{other}' too; they differ",
                )


def _task(recipe: Recipe) -> Findings:
    labels = recipe.task.labels
    if recipe.task.metric == "f1" and labels is not None and len(labels) != 2:
        yield (
            ("task", "metric"),
            f"f1 is of two labels and there are {len(labels)}; take macro_f1 or accuracy",
        )


def _teacher_labels(recipe: Recipe) -> Findings:
    teacher, labels = recipe.teacher, recipe.task.labels
    if teacher.labels is None:
        return
    if teacher.finetune is not None:
        yield (
            ("teacher", "labels"),
            "only for a teacher that is used as it is; leave it or `finetune` out",
        )
    elif labels is not None and sorted(labels) != sorted(teacher.labels):
        yield (
            ("teacher", "labels"),
            f"found {', '.join(teacher.labels)}; the task's labels are {', '.join(labels)}",
        )


def _names(recipe: Recipe) -> Findings:
    first: dict[str, int] = {}
    for index, stage in enumerate(recipe.stages):
        if stage.name in RESERVED:
            yield ("stages", index, "name"), f"'{stage.name}' is taken; choose another name"
        elif stage.name in first:
            yield (
                ("stages", index, "name"),
                f"'{stage.name}' is the name of stages[{first[stage.name]}] too; give each its own",
            )
        first.setdefault(stage.name, index)


def _order(recipe: Recipe) -> Findings:
    """distill, prune, ... then quantize, export, evaluate, each at most once."""
    seen: list[str] = []
    for index, stage in enumerate(recipe.stages):
        loc: Loc = ("stages", index, "kind")
        if stage.kind in seen and stage.kind in ("quantize", "export", "evaluate"):
            yield loc, f"a second '{stage.kind}' stage; keep one"
        elif "evaluate" in seen:
            yield loc, "nothing comes after 'evaluate', which is the last stage"
        elif stage.kind != "evaluate" and "export" in seen:
            yield loc, f"'{stage.kind}' comes before 'export', which gathers the final model"
        elif stage.kind in ("distill", "prune") and "quantize" in seen:
            yield loc, f"'{stage.kind}' comes before 'quantize': int8 weights are not trained"
        elif stage.kind in ("prune", "quantize", "export") and "distill" not in seen:
            yield loc, f"'{stage.kind}' needs a trained student: put a 'distill' stage before it"
        seen.append(stage.kind)


def _lengths(recipe: Recipe, teacher: TeacherShape) -> Findings:
    most = teacher.positions
    if recipe.data.max_length > most:
        yield ("data", "max_length"), f"the teacher reads at most {most} tokens"
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, EvaluateStage) and max(stage.lengths) > most:
            yield ("stages", index, "lengths"), f"the teacher reads at most {most} tokens"
    finetune = recipe.teacher.finetune
    if finetune is not None and finetune.freeze_layers > teacher.layers:
        yield (
            ("teacher", "finetune", "freeze_layers"),
            f"the teacher has only {teacher.layers} layers",
        )


def _initialisation(recipe: Recipe, size: Size, teacher: TeacherShape) -> Findings:
    init, layers = recipe.student.init, recipe.student.init_layers
    loc: Loc = ("student", "init_layers")
    if init not in INITS:
        yield from _init_folder(init, size)
        return
    if init == "random":
        return
    for what, small, large in (
        ("wide", size.hidden, teacher.hidden),
        ("wide in the feed-forward block", size.ffn, teacher.ffn),
    ):
        if small > large:
            yield (
                ("student", "size"),
                f"the student is {small} {what} and the teacher {large}: its layers cannot be "
                "copied; choose a narrower student or `init: random`",
            )
            break
    if isinstance(layers, list):
        if len(layers) != size.layers:
            yield loc, f"names {len(layers)} layers and the student has {size.layers}"
        for layer in sorted({layer for layer in layers if layer > teacher.layers}):
            yield loc, f"there is no teacher layer {layer}; they are 1 to {teacher.layers}"
    elif size.layers > teacher.layers:
        yield (
            ("student", "size"),
            f"the student has {size.layers} layers and the teacher only {teacher.layers}; choose "
            "a shallower student, `init: random`, or a list of `init_layers`",
        )


def _init_folder(init: str, size: Size) -> Findings:
    near = difflib.get_close_matches(init, INITS, n=1)
    if near and local_folder(init) is None:
        yield ("student", "init"), f"found '{init}'; did you mean '{near[0]}'?"
        return
    shape = teacher_shape(init)
    wanted = (size.layers, size.hidden, size.heads, size.ffn)
    if shape and (shape.layers, shape.hidden, shape.heads, shape.ffn) != wanted:
        found = f"{shape.layers}x{shape.hidden}/{shape.heads}/{shape.ffn}"
        yield (
            ("student", "init"),
            f"the model there is {found} and the student "
            f"{'{}x{}/{}/{}'.format(*wanted)}; write student.size: {found}",
        )


def _explicit_student_layers(recipe: Recipe, size: Size) -> Findings:
    """Faults of explicit layer maps that can be told without the teacher."""
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, DistillStage) or isinstance(stage.layer_map, str):
            continue
        seen: set[int] = set()
        for pair, (student, _) in enumerate(stage.layer_map):
            loc: Loc = ("stages", index, "layer_map", pair)
            if student > size.layers:
                yield loc, f"there is no student layer {student}; they are 1 to {size.layers}"
            elif student in seen:
                yield loc, f"student layer {student} stands in the map twice; keep one"
            seen.add(student)


def _matching(recipe: Recipe, size: Size, teacher: TeacherShape) -> Findings:
    heads_pruned = False
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, DistillStage):
            yield from _layer_map(stage, index, size, teacher)
            yield from _heads(stage, index, size, teacher, heads_pruned=heads_pruned)
        heads_pruned |= isinstance(stage, PruneStage) and stage.heads > 0


def _matches_layers(stage: Stage) -> bool:
    return isinstance(stage, DistillStage) and any(
        objective.kind in ("attention", "hidden") for objective in stage.objectives
    )


def _layer_map(stage: DistillStage, index: int, size: Size, teacher: TeacherShape) -> Findings:
    loc: Loc = ("stages", index, "layer_map")
    depth, deep = size.layers, teacher.layers
    if isinstance(stage.layer_map, list):
        for pair, (_, layer) in enumerate(stage.layer_map):
            if layer > deep:
                yield (*loc, pair), f"there is no teacher layer {layer}; they are 1 to {deep}"
    elif not _matches_layers(stage):
        return
    elif depth > deep:
        yield (
            loc,
            f"the student has {depth} layers and the teacher only {deep}; give pairs "
            "[student, teacher], or a shallower student",
        )
    elif stage.layer_map == "uniform" and deep % depth:
        works = [str(layers) for layers in range(1, deep + 1) if deep % layers == 0]
        yield (
            loc,
            f"uniform needs the teacher's depth ({deep}) to be a multiple of the student's "
            f"({depth}); depths that work: {', '.join(works)}; or take first, last, skip or pairs",
        )


def _heads(
    stage: DistillStage, index: int, size: Size, teacher: TeacherShape, *, heads_pruned: bool
) -> Findings:
    kinds = [objective.kind for objective in stage.objectives]
    if "attention" not in kinds:
        return
    loc: Loc = ("stages", index, "objectives", kinds.index("attention"))
    if heads_pruned:
        yield loc, "attention is matched head by head, and heads were pruned before; leave it out"
    elif size.heads != teacher.heads:
        width = max(1, round(size.hidden / teacher.heads)) * teacher.heads
        fits = f"{size.layers}x{width}/{teacher.heads}"
        yield (
            loc,
            f"attention is matched head by head: the student has {size.heads} heads and the "
            f"teacher {teacher.heads}; write student.size: {fits}, or leave it out",
        )
