"""The bundle's model card."""

from __future__ import annotations

import json
from typing import Any

from distill import atomic
from distill.report.card import make_card
from distill.stages.context import StageContext


def write_card(context: StageContext, results: dict[str, Any] | None) -> None:
    """Write the bundle's ``README.md``, with numbers once there are any."""
    bundle, data = context.run.bundle, context.workspace.data
    config = bundle / "config.json"
    model_type = json.loads(config.read_text("utf-8"))["model_type"] if config.is_file() else "bert"
    manifest = json.loads((bundle / "distill.json").read_text("utf-8"))
    card = make_card(
        results,
        context.recipe,
        labels=data.labels,
        formats=list(manifest["formats"]),
        pair=data.train.paired,
        pruned=model_type != "bert",
    )
    atomic.write_text(bundle / "README.md", card)
