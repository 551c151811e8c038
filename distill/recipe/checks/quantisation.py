"""Faults between quantisation, the formats that are exported, and what is installed."""

from __future__ import annotations

import importlib.util

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import ExportStage, QuantizeStage, Recipe
from distill.recipe.yaml_lines import Loc

#: Metrics between -1 and 1; the others lie between 0 and 1.
_CORRELATIONS = ("pearson", "spearman", "mcc")
_INSTALL = "pip install openvino nncf"


def quantisation(recipe: Recipe) -> Findings:
    """Settings that would do nothing, and formats that cannot be made."""
    quantised = any(isinstance(stage, QuantizeStage) for stage in recipe.stages)
    for index, stage in enumerate(recipe.stages):
        loc: Loc = ("stages", index)
        if isinstance(stage, ExportStage):
            if stage.exports("openvino") and (missing := _missing("openvino")):
                yield (*loc, "formats"), f"openvino needs {missing}: {_INSTALL}"
            for name in stage.formats:
                if name.endswith("-int8") and not quantised:
                    yield (*loc, "formats"), f"'{name}' needs a 'quantize' stage before"
        if isinstance(stage, QuantizeStage):
            for key, message in stage.issues(recipe):
                yield (*loc, *key), message


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
