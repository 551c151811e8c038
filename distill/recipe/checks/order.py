"""Faults in the order and the names of stages."""

from __future__ import annotations

import re

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import AugmentStage, DistillStage, PruneStage, Recipe, Stage
from distill.recipe.yaml_lines import Loc

#: Names in the run folder and in the results that are not a stage's to take.
_TEACHERS = re.compile(r"teachers|teacher-\d+")
RESERVED = (
    "teacher",
    "baseline",
    "onnx",
    "onnx-int8",
    "onnx-int4",
    "openvino",
    "openvino-int8",
    "torch-export",
)


def stage_names(recipe: Recipe) -> Findings:
    """Names that are taken."""
    first: dict[str, int] = {}
    for index, stage in enumerate(recipe.stages):
        if stage.name in RESERVED or _TEACHERS.fullmatch(stage.name):
            yield ("stages", index, "name"), f"'{stage.name}' is taken; choose another name"
        elif stage.name in first:
            yield (
                ("stages", index, "name"),
                f"'{stage.name}' is the name of stages[{first[stage.name]}] too; give each its own",
            )
        first.setdefault(stage.name, index)


def stage_order(recipe: Recipe) -> Findings:
    """distill, prune, ... then quantize, export, evaluate, each at most once."""
    seen: list[str] = []
    for index, stage in enumerate(recipe.stages):
        loc: Loc = ("stages", index, "kind")
        if stage.kind in seen and stage.kind in ("quantize", "export", "evaluate"):
            yield loc, f"a second '{stage.kind}' stage; keep one"
        elif "evaluate" in seen:
            yield loc, "nothing comes after 'evaluate', which is the last stage"
        elif stage.kind != "evaluate" and "export" in seen:
            yield loc, f"'{stage.kind}' comes before 'export', which gathers the final model"
        elif stage.kind in ("augment", "distill", "prune") and "quantize" in seen:
            yield loc, f"'{stage.kind}' comes before 'quantize': int8 weights are not trained"
        elif stage.kind == "augment" and not any(map(_learns, recipe.stages[index + 1 :])):
            yield loc, "no 'distill' stage after it learns from its rows; put it before one"
        elif stage.kind in ("prune", "quantize", "export") and "distill" not in seen:
            yield loc, f"'{stage.kind}' needs a trained student: put a 'distill' stage before it"
        seen.append(stage.kind)


def _learns(stage: Stage) -> bool:
    """Whether a stage trains on augmented rows."""
    if isinstance(stage, PruneStage):
        return stage.learns_augmented
    return isinstance(stage, DistillStage) and stage.augmented


def augmentation(recipe: Recipe) -> Findings:
    """What an augment stage names that the data have not."""
    for index, stage in enumerate(recipe.stages):
        if not isinstance(stage, AugmentStage):
            continue
        if stage.pair_columns == "text_pair" and recipe.data.columns.text_pair is None:
            yield (
                ("stages", index, "pair_columns"),
                "the data have no second text; name its column in data.columns.text_pair",
            )
