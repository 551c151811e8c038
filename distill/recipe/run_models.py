"""Where in a named folder its model lies: a run's final student, a sentence encoder's weights.

Only small files are read; nothing heavy is imported.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from distill.system.errors import ModelError, quoted

#: The file that holds everything known of a study's trials; what has it is a study's folder.
STUDY = "study.json"
#: Kinds of stages that leave a student.
MAKES_STUDENT = ("pretrain", "distill", "prune")


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's, and no model's."""
    return (folder / "recipe.yaml").is_file() and not (folder / "config.json").is_file()


def trial_of_study(folder: Path) -> Path | None:
    """A run folder of the study in ``folder``; ``None`` where there is no study."""
    if not (folder / STUDY).is_file():
        return None
    return next((p.parent for p in sorted(folder.glob("trials/**/recipe.yaml"))), folder / "trials")


def has_stage(folder: Path, kind: str) -> bool:
    """Whether a run's recipe has a stage of a kind; true where the recipe cannot be read."""
    stages = _stages(folder)
    return stages is None or any(own == kind for own, _ in stages)


def _stages(folder: Path) -> list[tuple[str, str]] | None:
    """Kinds and names of a run's stages; ``None`` where its recipe cannot be read."""
    try:
        content = yaml.safe_load((folder / "recipe.yaml").read_text("utf-8"))
        stages = content["stages"]
        return [(stage["kind"], str(stage.get("name", stage["kind"]))) for stage in stages]
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return None


def model_of_run(folder: Path) -> Path:
    """The folder of a run's final student, or of a sentence encoder's weights; others as they are.

    Raises:
        ModelError: the run makes no student, or has not come to it yet.

    Example:
        ``runs/general`` with a finished stage ``distill`` gives ``runs/general/02-distill/model``.
    """
    if trial := trial_of_study(folder):
        raise ModelError(f"{folder}: a study; name one of its runs, such as {trial}")
    if not is_run(folder):
        return _encoder_of(folder)
    stages = _stages(folder)
    if stages is None:
        raise ModelError(f"{folder}: its recipe.yaml cannot be read; give a model folder")
    makers = [name for kind, name in stages if kind in MAKES_STUDENT]
    if not makers:
        raise ModelError(f"{folder}: a run that makes no student; give a model folder")
    name = makers[-1]
    for place in sorted(folder.glob(f"[0-9]*-{name}")):
        if (place / "done.json").is_file() and (place / "model" / "config.json").is_file():
            return place / "model"
    raise ModelError(
        f"{folder}: its stage '{name}', which makes the student, is not done: distill resume "
        f"{quoted(folder)}"
    )


def sentence_root(folder: Path) -> Path:
    """The folder with the ``modules.json`` that a sentence encoder's weights belong to."""
    parent = folder.parent
    return parent if folder != parent and _encoder_of(parent) == folder else folder


def _encoder_of(folder: Path) -> Path:
    """The folder of the weights, which older versions of sentence-transformers put further down."""
    if not (folder / "modules.json").is_file() or (folder / "config.json").is_file():
        return folder
    try:
        first = str(json.loads((folder / "modules.json").read_text("utf-8"))[0]["path"])
    except (OSError, ValueError, LookupError, TypeError):
        return folder
    return folder / first
