"""What an ablation file may say: one recipe, changed in several ways, on several tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictInt, StrictStr

from distill.section import Name, Section

Seed = Annotated[StrictInt, Field(ge=0, lt=2**31)]


class AblationPart(Section):
    """A change of the recipe: first what is merged, then what is set."""

    merge: dict[str, Any] = {}
    """Part of a recipe that is laid over it: mappings merge, lists replace."""
    set: dict[str, Any] = {}
    """Dotted settings, as on the command line: ``stages.intermediate.layer_map: last``. An item
    of a list set to ``null`` is removed; ``stages.+NAME`` adds one before NAME."""


class AblationTask(AblationPart):
    """A task that every variant is tried on: its data, labels, metric and lengths."""

    title: StrictStr | None = None
    """What its column is called; left out, its name."""
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    """Every variant is trained once for each; left out, the recipe's one seed."""


class AblationVariant(AblationPart):
    """One way to change the recipe."""

    title: StrictStr | None = None
    """What its row is called; left out, its name."""
    tasks: Annotated[list[Name], Field(min_length=1)] | None = None
    """Only these tasks; left out, all of them."""
    stage: Name | None = None
    """The stage whose validation score counts and after which the variant stops; left out, the
    last one that trains the student. ``teacher`` and ``baseline`` are stages too."""


class Ablation(Section):
    """Many variants of one recipe, on tasks and seeds, in one table."""

    ablation: Literal[1]
    """The schema's version."""
    name: Name
    """The ablation's name: what its folder and its table are called."""
    description: StrictStr = ""
    """One line for ``distill ls``."""
    recipe: StrictStr
    """What is varied: a recipe's name, or a path relative to this file."""
    folders: dict[Name, StrictStr] = {}
    """Folders that the command line fills in (``--folder NAME=DIR``), each with what has to be in
    it; ``${NAME}`` in a setting stands for the path."""
    tasks: Annotated[dict[Name, AblationTask], Field(min_length=1)]
    """The table's columns."""
    variants: Annotated[dict[Name, AblationVariant], Field(min_length=1)]
    """The table's rows."""
    compare_to: Name | None = None
    """The variant that differences refer to; left out, the first."""

    @property
    def reference(self) -> str:
        """The variant that differences refer to."""
        return self.compare_to or next(iter(self.variants))


def ablation_schema() -> dict[str, Any]:
    """The JSON schema of an ablation file."""
    return Ablation.model_json_schema()
