"""The bundle's model card."""

from __future__ import annotations

from pathlib import Path

from distill.evaluation.results import Results
from distill.recipe.schema import Recipe
from distill.report.card import make_card
from distill.runtime.manifest import read_manifest
from distill.system import atomic
from students.family import PRUNED
from students.folder import read_config


def write_card(bundle: Path, student: Path, recipe: Recipe, results: Results | None) -> None:
    """Write a bundle's ``README.md``, with numbers once there are any.

    Args:
        bundle: the folder.
        student: the folder of the model that it was made from.
        recipe: the run's.
        results: the run's, where it was evaluated.
    """
    manifest = read_manifest(bundle)
    card = make_card(
        results,
        recipe,
        labels=manifest.labels,
        formats=list(manifest.formats),
        pair=manifest.pair,
        pruned=str(read_config(student).get("model_type")).startswith(PRUNED),
    )
    atomic.write_text(bundle / "README.md", card)
