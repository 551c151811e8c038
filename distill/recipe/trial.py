"""One run of a study: a checked recipe for a variant, a task and a seed."""

from __future__ import annotations

from dataclasses import dataclass

from distill.recipe.plan import PlannedStage, plan_stages
from distill.recipe.schema import EvaluateStage, Recipe


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    Args:
        variant: the row; empty where the study has no variants.
        task: the column; empty where the study has the recipe's own task.
        seed: the recipe's seed.
        recipe: what is run.
        stage: name of the stage whose score counts, and after which the trial stops.
    """

    variant: str
    task: str
    seed: int
    recipe: Recipe
    stage: str

    @property
    def name(self) -> str:
        """Its name among the others, such as ``full, mrpc, seed 1``."""
        return ", ".join(part for part in (self.variant, self.task, f"seed {self.seed}") if part)

    @property
    def folder(self) -> str:
        """Its run folder inside the study's, such as ``trials/mrpc/seed-1/full``."""
        parts = ("trials", self.task, f"seed-{self.seed}", self.variant)
        return "/".join(part for part in parts if part)

    def planned(self) -> list[PlannedStage]:
        """The stages that are done for the score."""
        stages = plan_stages(self.recipe)
        last = next(n for n, stage in enumerate(stages, 1) if stage.name == self.stage)
        return stages[:last]

    @property
    def evaluates(self) -> bool:
        """Whether it ends in the evaluation, with sizes and times of every model."""
        return isinstance(self.planned()[-1].config, EvaluateStage)
