"""Faults that the teacher's and the student's shapes show, before either is loaded."""

from __future__ import annotations

import difflib

from distill.errors import ModelError
from distill.recipe.checks.findings import Findings
from distill.recipe.known import TeacherShape, local_folder, teacher_shape
from distill.recipe.run_models import is_run, model_of_run
from distill.recipe.schema import EvaluateStage, Recipe
from distill.recipe.sizes import Size
from distill.recipe.yaml_lines import Loc

#: Ways to initialise the student that are no folder.
INITS = ("teacher-layers", "random")


def lengths(recipe: Recipe, teacher: TeacherShape) -> Findings:
    """More tokens or layers than the teacher has."""
    most = teacher.positions
    if recipe.data.max_length > most:
        yield ("data", "max_length"), f"the teacher reads at most {most} tokens"
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, EvaluateStage) and any(
            length != "real" and length > most for length in stage.lengths
        ):
            yield ("stages", index, "lengths"), f"the teacher reads at most {most} tokens"
    for number, one in enumerate(recipe.teacher.all):
        loc: Loc = ("teacher", "more", number - 1) if number else ("teacher",)
        shape = teacher_shape(one.model) if number else teacher
        if shape is None:
            continue
        if number and recipe.data.max_length > shape.positions:
            yield (*loc, "model"), f"reads at most {shape.positions} tokens; see data.max_length"
        if one.finetune is not None and one.finetune.freeze_layers > shape.layers:
            where = (*loc, "finetune", "freeze_layers")
            yield where, f"the teacher has only {shape.layers} layers"


def initialisation(recipe: Recipe, size: Size, teacher: TeacherShape) -> Findings:
    """A student that cannot start from where the recipe says."""
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
    folder = local_folder(init)
    if folder is not None and is_run(folder):
        try:
            model_of_run(folder)
        except ModelError as error:
            yield ("student", "init"), str(error)
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
