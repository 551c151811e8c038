"""What a study file may say: one recipe in variants, on tasks, with several seeds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr

from distill.recipe.schema.recipe import Seeds
from distill.section import Name, Section


class StudyChange(Section):
    """A change of the recipe: first what is merged, then what is set."""

    merge: dict[str, Any] = {}
    """Part of a recipe that is laid over it: mappings merge, lists replace."""
    set: dict[str, Any] = {}
    """Dotted settings, as on the command line: ``stages.intermediate.layer_map: last``. An item
    of a list set to ``null`` is removed; ``stages.+NAME`` adds one before NAME."""
    title: StrictStr | None = None
    """What it is called in the table; left out, its name."""


class StudyTask(StudyChange):
    """A task that every variant is tried on: its data, labels, metric and lengths."""

    seeds: Annotated[Seeds, Field(min_length=1)] | None = None
    """Every variant is trained once for each; left out, the study's seeds."""


class StudyVariant(StudyChange):
    """One way to change the recipe."""

    tasks: Annotated[list[Name], Field(min_length=1)] | None = None
    """Only these tasks; left out, all of them."""
    stage: Name | None = None
    """The stage whose score counts and after which a trial stops; left out, the last one that
    trains the student. ``teacher`` and ``baseline`` are stages too; the name of the evaluate
    stage compares final models, with sizes and times."""


class Study(Section):
    """Many variants of one recipe, on tasks and seeds, in one table."""

    study: Literal[1]
    """The schema's version."""
    name: Name
    """The study's name: what its folder and its table are called."""
    description: StrictStr = ""
    """One line for ``distill ls``."""
    recipe: StrictStr
    """What is varied: a recipe's name, or a path relative to this file."""
    seeds: Annotated[Seeds, Field(min_length=1)] | None = None
    """Every variant is trained once for each; left out, the recipe's ``seeds`` or ``seed``."""
    folders: dict[Name, StrictStr] = {}
    """Folders that the command line fills in (``folders.NAME=DIR``), each with what has to be in
    it; ``${NAME}`` in a setting stands for the path."""
    tasks: dict[Name, StudyTask] = {}
    """The table's columns; left out, the recipe's own task."""
    variants: dict[Name, StudyVariant] = {}
    """The table's rows; left out, the recipe as it is."""
    compare_to: Name | None = None
    """The variant that differences refer to; left out, the first."""

    @property
    def reference(self) -> str:
        """The variant that differences refer to."""
        return self.compare_to or next(iter(self.variants), "")


def study_schema() -> dict[str, Any]:
    """The JSON schema of a study file."""
    return Study.model_json_schema()
