"""The bundle's model card."""

from __future__ import annotations

import json

from distill.evaluation.results import Results
from distill.report.card import make_card
from distill.stages.context import StageContext
from distill.system import atomic
from students.family import PRUNED
from students.folder import read_config


def write_card(context: StageContext, results: Results | None) -> None:
    """Write the bundle's ``README.md``, with numbers once there are any."""
    bundle, data = context.run.bundle, context.workspace.data
    config = read_config(context.trained_student_folder())
    manifest = json.loads((bundle / "distill.json").read_text("utf-8"))
    card = make_card(
        results,
        context.recipe,
        labels=data.labels,
        formats=list(manifest["formats"]),
        pair=data.train.paired,
        pruned=config["model_type"].startswith(PRUNED),
    )
    atomic.write_text(bundle / "README.md", card)
