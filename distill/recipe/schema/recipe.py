"""The recipe as a whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr

from distill.recipe.schema.data import DataConfig
from distill.recipe.schema.machine import TrackConfig, TrainerConfig
from distill.recipe.schema.models import BaselineConfig, StudentConfig, TeacherConfig
from distill.recipe.schema.stages import Stage
from distill.recipe.schema.task import Task
from distill.section import Name, Section
from distill.tasks import on_register


def _all_different(seeds: list[int]) -> list[int]:
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise ValueError(f"{twice[0]} stands here twice; every seed is done once")
    return seeds


Seed = Annotated[StrictInt, Field(ge=0, lt=2**31)]
Seeds = Annotated[list[Seed], AfterValidator(_all_different)]


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
    """What is learned from."""
    teacher: TeacherConfig
    """Whom is learned from."""
    student: StudentConfig
    """Who learns."""
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

    def with_seed(self, seed: int) -> Recipe:
        """The same recipe for one seed alone."""
        return self.model_copy(update={"seed": seed, "seeds": None})


def json_schema() -> dict[str, Any]:
    """The JSON schema of a recipe, for editors that complete and check YAML."""
    return Recipe.model_json_schema()


# The task section is read by the kinds of task there are.
on_register(lambda: Recipe.model_rebuild(force=True))
