"""Faults between quantisation, the formats that are exported, and what is installed."""

from __future__ import annotations

import importlib.util

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import ExportStage, QuantizeStage, Recipe, TrainConfig
from distill.recipe.yaml_lines import Loc

#: Which keys of a quantize stage mean something to one method only.
_OWN = {
    "activation_scales": ("dynamic",),
    "weight_bits": ("static", "dynamic", "nncf", "qat", "auto"),
    "bits": ("weights_only",),
    "smooth": ("nncf", "auto"),
    "algorithm": ("qat",),
    "train": ("qat",),
}
#: Metrics between -1 and 1; the others lie between 0 and 1.
_CORRELATIONS = ("pearson", "spearman", "mcc")
_INSTALL = "pip install openvino nncf"


def quantisation(recipe: Recipe) -> Findings:
    """Settings that would do nothing, and formats that cannot be made."""
    exports = [stage for stage in recipe.stages if isinstance(stage, ExportStage)]
    quantised = any(isinstance(stage, QuantizeStage) for stage in recipe.stages)
    for index, stage in enumerate(recipe.stages):
        loc: Loc = ("stages", index)
        if isinstance(stage, ExportStage):
            if stage.exports("openvino") and (missing := _missing("openvino")):
                yield (*loc, "formats"), f"openvino needs {missing}: {_INSTALL}"
            for name in stage.formats:
                if name.endswith("-int8") and not quantised:
                    yield (*loc, "formats"), f"'{name}' needs a 'quantize' stage before"
        if not isinstance(stage, QuantizeStage):
            continue
        for key, methods in _OWN.items():
            default = QuantizeStage.model_fields[key].default
            if getattr(stage, key) != default and stage.method not in methods:
                yield (*loc, key), f"does nothing with method '{stage.method}', only {methods[0]}"
        for key in ("accumulate", "patience", "evaluations_per_epoch", "layer_decay"):
            if getattr(stage.train, key) != TrainConfig.model_fields[key].default:
                yield (*loc, "train", key), "does nothing here: training for int8 is one short pass"
        if stage.method == "nncf":
            if missing := _missing("openvino", "nncf"):
                yield (*loc, "method"), f"nncf needs {missing}: {_INSTALL}"
            elif exports and not any(stage.exports("openvino") for stage in exports):
                yield (*loc, "method"), "nncf makes an OpenVINO model: add it to export's formats"


def drops(recipe: Recipe) -> Findings:
    """A loss of score that no score can have: only correlations reach below 0."""
    if recipe.task.metric in _CORRELATIONS:
        return
    for index, stage in enumerate(recipe.stages):
        if (most := getattr(stage, "max_drop", None)) is not None and most > 1:
            yield (
                ("stages", index, "max_drop"),
                f"is {most:g}, but {recipe.task.metric} can fall by no more than 1",
            )


def _missing(*packages: str) -> str:
    return " and ".join(name for name in packages if importlib.util.find_spec(name) is None)
