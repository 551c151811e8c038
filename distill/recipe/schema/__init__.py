"""What a recipe may say: frozen pydantic models that refuse unknown keys; one file per section.

Loading a recipe neither imports nor runs what it names, and this package imports nothing heavier
than pydantic, so that ``ls``, ``show``, ``validate`` and ``schema`` answer at once.
"""

from __future__ import annotations

from distill.pruning.methods import (
    Budget,
    PruneStage,
)
from distill.quantization.methods import QuantizeStage
from distill.recipe.schema.data import (
    BUILTIN,
    Columns,
    DataConfig,
)
from distill.recipe.schema.distill import (
    DistillStage,
    LayerMapKind,
    LayerSearch,
)
from distill.recipe.schema.machine import (
    TrackConfig,
    TrainerConfig,
    WandbConfig,
)
from distill.recipe.schema.models import (
    BaselineConfig,
    EncoderStudent,
    FinetuneConfig,
    StaticStudent,
    StudentSection,
    TeacherConfig,
    TeacherModel,
)
from distill.recipe.schema.objectives import (
    AttentionObjective,
    ClsObjective,
    CosineObjective,
    DecoupledObjective,
    EmbeddingObjective,
    HiddenObjective,
    LayerPair,
    LogitsObjective,
    MlmObjective,
    Objective,
    ObjectiveConfig,
    OrderObjective,
    RelationalObjective,
    RelationsObjective,
    SimilarityObjective,
    StandardizedObjective,
    VectorObjective,
    WeightSchedule,
    tokenizer_free,
)
from distill.recipe.schema.recipe import (
    Recipe,
    Task,
    json_schema,
)
from distill.recipe.schema.stages import (
    AugmentStage,
    EvaluateStage,
    ExportStage,
    Limits,
    PretrainStage,
    Stage,
)
from distill.recipe.schema.study import (
    Candidate,
    Search,
    Study,
    StudyTask,
    StudyVariant,
    study_schema,
)
from distill.section import (
    Name,
    PositiveInt,
    Section,
    Share,
    TrainConfig,
    Weight,
)

__all__ = [
    "BUILTIN",
    "AttentionObjective",
    "AugmentStage",
    "BaselineConfig",
    "Budget",
    "Candidate",
    "ClsObjective",
    "Columns",
    "CosineObjective",
    "DataConfig",
    "DecoupledObjective",
    "DistillStage",
    "EmbeddingObjective",
    "EncoderStudent",
    "EvaluateStage",
    "ExportStage",
    "FinetuneConfig",
    "HiddenObjective",
    "LayerMapKind",
    "LayerPair",
    "LayerSearch",
    "Limits",
    "LogitsObjective",
    "MlmObjective",
    "Name",
    "Objective",
    "ObjectiveConfig",
    "OrderObjective",
    "PositiveInt",
    "PretrainStage",
    "PruneStage",
    "QuantizeStage",
    "Recipe",
    "RelationalObjective",
    "RelationsObjective",
    "Search",
    "Section",
    "Share",
    "SimilarityObjective",
    "Stage",
    "StandardizedObjective",
    "StaticStudent",
    "StudentSection",
    "Study",
    "StudyTask",
    "StudyVariant",
    "Task",
    "TeacherConfig",
    "TeacherModel",
    "TrackConfig",
    "TrainConfig",
    "TrainerConfig",
    "VectorObjective",
    "WandbConfig",
    "Weight",
    "WeightSchedule",
    "json_schema",
    "study_schema",
    "tokenizer_free",
]
