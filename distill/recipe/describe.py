"""What a stage does, in one line for a person."""

from __future__ import annotations

from distill.recipe.plan import PlannedStage
from distill.recipe.schema import (
    AugmentStage,
    BaselineConfig,
    DistillStage,
    EvaluateStage,
    ExportStage,
    LayerSearch,
    PretrainStage,
    PruneStage,
    QuantizeStage,
    TeacherModel,
    TrainConfig,
)


def describe(stage: PlannedStage) -> str:
    """What the stage does and with which settings, such as ``match hidden: 3 epochs, ...``."""
    match stage.config:
        case TeacherModel(finetune=None):
            return f"{stage.config.model} as it is"
        case TeacherModel():
            return f"fine-tune {stage.config.model}: {_training(stage.config.finetune)}"
        case BaselineConfig():
            return f"the student on labels only: {_training(stage.config)}"
        case AugmentStage():
            return (
                f"up to {stage.config.copies} more of each row: {stage.config.replace:.0%} of the "
                "words replaced"
            )
        case DistillStage():
            kinds = ", ".join(objective.kind for objective in stage.config.objectives)
            return f"{_search(stage.config)}match {kinds}: {_training(stage.config)}"
        case PretrainStage():
            nsp = ", sentence pairs" if stage.config.nsp else ""
            words = "words" if stage.config.whole_words else "tokens"
            return f"masked {words} ({stage.config.mask:.0%}){nsp}: {_training(stage.config)}"
        case PruneStage(recovery=recovery):
            after = f"; recover: {_training(recovery)}" if recovery else ""
            return f"{stage.config.describe()}{after}"
        case QuantizeStage():
            return f"int8, {stage.config.method}; at most {stage.config.max_drop:g} of score lost"
        case ExportStage():
            return f"bundle: {', '.join(stage.config.formats)}"
        case EvaluateStage():
            batches = ", ".join(map(str, stage.config.batch_sizes))
            lengths = ", ".join(map(str, stage.config.lengths))
            return f"score and time every model: batch {batches}; length {lengths}"


def _search(config: DistillStage) -> str:
    if config.layer_map != "search":
        return ""
    search = config.search or LayerSearch()
    count = str(len(search.candidates)) if search.candidates else "all"
    return f"try {count} layer maps for 2x{search.steps} steps each; "


def _training(config: TrainConfig | None) -> str:
    if config is None:
        return ""
    if config.max_steps is not None:
        epochs = f"{config.max_steps:,} steps"
    else:
        epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    falling = f" (x {config.layer_decay:g} a layer)" if config.layer_decay < 1 else ""
    batch = config.batch_size * config.accumulate_grad_batches
    return f"{epochs}, lr {config.lr:g}{falling}, batch {batch}"
