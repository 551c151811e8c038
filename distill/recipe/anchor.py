"""A recipe's relative paths made absolute, so that a run means the same files from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from distill.recipe.schema import AugmentStage, DataConfig, Recipe, Section

Part = TypeVar("Part", bound=Section)


def anchored(recipe: Recipe) -> Recipe:
    """The recipe with paths that start from the current folder written in full.

    Names of the model hub, and of models and data sets that come along, stay as they are.
    """
    teacher, student = recipe.teacher, recipe.student
    more = [_with(one, model=_model) for one in teacher.more]
    return recipe.model_copy(
        update={
            "data": _data(recipe.data),
            "teacher": _with(teacher, model=_model).model_copy(update={"more": more}),
            "student": _with(student, init=_model),
            "stages": [
                _with(stage, glove=_file, model=_model)
                if isinstance(stage, AugmentStage)
                else stage
                for stage in recipe.stages
            ],
        }
    )


def _data(data: DataConfig) -> DataConfig:
    if data.source != "files":
        return data
    more = {name: _file(path) for name, path in data.more.items()}
    return _with(data, train=_file, validation=_file, test=_file).model_copy(update={"more": more})


def _with(section: Part, **ways: Callable[[str], str]) -> Part:
    """A section whose settings of these names are made absolute, each in its own way."""
    found: dict[str, Any] = {}
    for name, way in ways.items():
        value = getattr(section, name)
        if isinstance(value, list):
            found[name] = [way(one) for one in value]
        elif value is not None:
            found[name] = way(value)
    return section.model_copy(update=found)


def _file(name: str) -> str:
    return str(Path(name).expanduser().absolute())


def _model(name: str) -> str:
    """A model's folder; a name that is no folder here is one of the hub's."""
    return _file(name) if Path(name).expanduser().is_dir() else name
