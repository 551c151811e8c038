"""What a recipe will do, in order: one planned stage for each folder of the run; trials."""

from __future__ import annotations

from dataclasses import dataclass

from distill.recipe.run_models import MAKES_STUDENT
from distill.recipe.schema import (
    BaselineConfig,
    DistillStage,
    EvaluateStage,
    PruneStage,
    Recipe,
    TeacherModel,
)
from distill.recipe.schema.stages import Stage

StageConfig = TeacherModel | BaselineConfig | Stage


@dataclass(frozen=True)
class PlannedStage:
    """One step of a run."""

    index: int  # position, counted from 1
    name: str  # what the recipe calls it; unique within the run
    kind: str  # which function does it (a key of ``distill.stages.STAGES``)
    config: StageConfig  # its part of the recipe

    @property
    def folder(self) -> str:
        """The stage's folder inside the run folder, such as ``03-intermediate``."""
        return f"{self.index:02d}-{self.name}"

    @property
    def trims_vocabulary(self) -> bool:
        """Whether the student reads tokens of its own from this stage on."""
        return isinstance(self.config, PruneStage) and self.config.own_tokens

    @property
    def makes_student(self) -> bool:
        """Whether later stages take the student from this one."""
        return self.kind in MAKES_STUDENT


def baseline_config(recipe: Recipe) -> BaselineConfig:
    """How the baseline is trained when the recipe only says ``baseline: true``.

    It gets the epochs of all distillation stages together (the steps, where all of them count
    steps), so that it sees the rows as often as the student, and the last one's other settings
    except dropout: hard labels need the model's own.
    """
    if isinstance(recipe.baseline, BaselineConfig):
        return recipe.baseline
    distilled = [stage for stage in recipe.stages if isinstance(stage, DistillStage)]
    if not distilled:
        return BaselineConfig()
    shared = {
        name: value
        for name, value in distilled[-1].model_dump().items()
        if name in BaselineConfig.model_fields and name != "dropout"
    }
    steps = [stage.max_steps for stage in distilled if stage.max_steps is not None]
    epochs = [stage.epochs for stage in distilled if stage.max_steps is None]
    return BaselineConfig(
        **{
            **shared,
            "epochs": sum(epochs) or distilled[-1].epochs,
            "max_steps": None if epochs else sum(steps),
        }
    )


def plan_stages(recipe: Recipe) -> list[PlannedStage]:
    """The stages of a run in the order in which they are done.

    The teachers come first (``teacher``, ``teacher-2``, ...), then (unless switched off, or
    there are no labels) the baseline, then the recipe's stages.
    """
    # Its share in the average is nothing of a teacher's own stage: changing it trains none anew.
    alone = [teacher.model_copy(update={"weight": 1.0}) for teacher in recipe.teacher.all]
    steps: list[tuple[str, str, StageConfig]] = [
        (f"teacher-{number}" if number > 1 else "teacher", "teacher", teacher)
        for number, teacher in enumerate(alone, start=1)
    ]
    if recipe.baseline is not False and not recipe.task.learns_text:
        steps.append(("baseline", "baseline", baseline_config(recipe)))
    steps.extend((stage.name, stage.kind, stage) for stage in recipe.stages)
    return [
        PlannedStage(index=index, name=name, kind=kind, config=config)
        for index, (name, kind, config) in enumerate(steps, start=1)
    ]


@dataclass(frozen=True)
class Trial:
    """One run of a study."""

    variant: str  # the row; empty where the study has no variants
    task: str  # the column; empty where the study has the recipe's own task
    seed: int  # the recipe's seed
    recipe: Recipe  # what is run
    stage: str  # name of the stage whose score counts, and after which the trial stops

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
