"""What a recipe may say: frozen pydantic models that refuse unknown keys; one file per section.

Loading a recipe neither imports nor runs what it names, and this package imports nothing heavier
than pydantic, so that ``ls``, ``show``, ``validate`` and ``schema`` answer at once.
"""

from __future__ import annotations

from distill.pruning.methods import Budget, PruneStage
from distill.quantization.methods import QuantizeStage
from distill.recipe.schema.data import BUILTIN, Columns, DataConfig
from distill.recipe.schema.distill import DistillStage, LayerSearch
from distill.recipe.schema.models import (
    BaselineConfig,
    EncoderStudent,
    StaticStudent,
    TeacherConfig,
    TeacherModel,
)
from distill.recipe.schema.objectives import Objective, WeightSchedule
from distill.recipe.schema.recipe import (
    Recipe,
    TrackConfig,
    TrainerConfig,
    WandbConfig,
)
from distill.recipe.schema.stages import (
    AugmentStage,
    EvaluateStage,
    ExportStage,
    Limits,
    PretrainStage,
)
from distill.recipe.schema.study import (
    Candidate,
    Search,
    Study,
    StudyTask,
    StudyVariant,
)
from distill.section import TrainConfig

__all__ = [
    "BUILTIN",
    "AugmentStage",
    "BaselineConfig",
    "Budget",
    "Candidate",
    "Columns",
    "DataConfig",
    "DistillStage",
    "EncoderStudent",
    "EvaluateStage",
    "ExportStage",
    "LayerSearch",
    "Limits",
    "Objective",
    "PretrainStage",
    "PruneStage",
    "QuantizeStage",
    "Recipe",
    "Search",
    "StaticStudent",
    "Study",
    "StudyTask",
    "StudyVariant",
    "TeacherConfig",
    "TeacherModel",
    "TrackConfig",
    "TrainConfig",
    "TrainerConfig",
    "WandbConfig",
    "WeightSchedule",
]
