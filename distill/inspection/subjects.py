"""Which models a run folder, a bundle or a model folder holds to look into.

Only small files are read; the models are loaded by whoever looks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.recipe.model_shapes import usable_positions
from distill.recipe.plan import plan_stages
from distill.recipe.run_models import is_run, model_of_run
from distill.recipe.schema import PruneStage, Recipe
from distill.run_folder import RunFolder
from distill.runtime.manifest import MANIFEST, read_manifest
from distill.system.errors import ModelError, quoted
from distill.tasks import decoder_class, kind_of_model, make_task, predicting
from students.folder import check_folder, read_config
from students.static import STATIC
from students.weights import find_head

#: Tokens kept of a text where nothing says how many the model was trained with.
_LENGTH = 128
Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Subjects:
    """What is looked into."""

    student: Path
    teacher: Path | None
    task: str
    max_length: int  # tokens kept of a text
    pair: bool | None  # whether an input is two texts; ``None`` where nothing says so
    # pairs (student layer, teacher layer) that distillation matched; ``None`` where none is known
    layer_map: Pairs | None
    # the task's, with what was chosen for the student
    settings: Mapping[str, Any] = field(default_factory=dict)
    # with what was chosen for the teacher, where it has its own
    teacher_settings: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def find_subjects(folder: Path, *, teacher: Path | None = None) -> Subjects:
    """The models of a run folder, of a bundle, or in a model folder.

    ``teacher`` is the folder of one to put beside the student, in place of the run's.

    Raises:
        ModelError: there is no student to look into, or the run's teacher is gone.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise ModelError(f"{folder}: {what}; give a run folder, a bundle or a model folder")
    if teacher is not None:
        check_folder(teacher)
    if is_run(folder):
        return _of_run(folder, teacher)
    if (folder / MANIFEST).is_file():
        return _of_bundle(folder, teacher)
    config = read_config(check_folder(folder))
    _check_layers(folder)
    labels = config.get("id2label") or ()
    kind = kind_of_model(find_head(folder), config.get("problem_type"), len(labels))
    return Subjects(
        student=folder,
        teacher=teacher,
        task=kind or predicting()[0],
        max_length=min(_LENGTH, usable_positions(config)),
        pair=None,
        layer_map=None,
        notes=() if teacher else (f"a model folder: no teacher beside it ({_ADD})",),
    )


_ADD = "--teacher FOLDER puts one there"


def _of_bundle(folder: Path, teacher: Path | None) -> Subjects:
    manifest = read_manifest(folder)
    if (folder / "config.json").is_file():
        _check_layers(folder)
    if "transformers" not in manifest.formats:
        raise ModelError(
            f"{folder}: no weights to look into (it has {', '.join(manifest.formats)}); export the "
            "format transformers too, or give the run's folder"
        )
    notes = [] if teacher else [f"a bundle holds the student alone; {_ADD}"]
    return Subjects(
        student=check_folder(folder),
        teacher=teacher,
        task=manifest.task,
        max_length=manifest.max_length,
        pair=manifest.pair or decoder_class(manifest.task).always_pairs,
        layer_map=None,
        settings=manifest.settings,
        notes=(*notes, *_weights_only(list(manifest.formats))),
    )


def _check_layers(student: Path) -> None:
    if read_config(student).get("model_type") == STATIC:
        raise ModelError(
            f"{student}: a static student has no layers to look into; what it answers is shown by "
            "distill predict, and its errors by the run's report"
        )


def _weights_only(formats: Sequence[str]) -> tuple[str, ...]:
    if any(name.endswith(("int8", "int4")) for name in formats):
        return ("the student is the fp32 model that its quantised formats were made from",)
    return ()


def _of_run(folder: Path, teacher: Path | None) -> Subjects:
    run = RunFolder(folder)
    recipe = run.read_recipe()
    if recipe.task.learns_text:
        raise ModelError(
            f"{folder}: a run over unlabelled text predicts nothing; give a run with a task"
        )
    student = model_of_run(folder)
    _check_layers(student)
    own = folder / plan_stages(recipe)[0].folder / "model"
    elsewhere = recipe.teacher.targets is not None
    if teacher is None and not elsewhere and not (own / "config.json").is_file():
        raise ModelError(
            f"{folder}: its teacher ({own.relative_to(folder)}) is gone; name one with "
            f"--teacher FOLDER, or look at the student alone: distill inspect {quoted(student)}"
        )
    formats = read_manifest(folder).formats if run.holds_bundle() else {}
    several = len(recipe.teacher.all) > 1
    other = teacher or (None if elsewhere else own)
    return Subjects(
        student=student,
        teacher=None if other is None else check_folder(other),
        task=recipe.task.kind,
        max_length=recipe.data.max_length,
        pair=_takes_pairs(run, recipe),
        layer_map=None if teacher or elsewhere else _layer_map(run, recipe),
        settings=settings_of(student, recipe),
        teacher_settings=None if other is None else settings_of(other, recipe),
        notes=(
            *(("of several teachers this is the first",) if several and not teacher else ()),
            *((f"the run's teacher is a file; {_ADD}",) if other is None else ()),
            *_weights_only(list(formats)),
        ),
    )


def settings_of(model: Path, recipe: Recipe) -> dict[str, Any]:
    """The task's settings, with what was chosen for the model of a run's stage."""
    names = sorted(read_config(model).get("id2label", {}).items(), key=lambda pair: int(pair[0]))
    task = make_task(recipe.task, [name for _, name in names])
    facts = model.parent / "stage.json"
    chosen = json.loads(facts.read_text("utf-8")) if facts.is_file() else {}
    return dict(task.settled(chosen).settings)


def _takes_pairs(run: RunFolder, recipe: Recipe) -> bool:
    if decoder_class(recipe.task.kind).always_pairs:
        return True
    if run.holds_bundle():
        return read_manifest(run.path).pair
    return recipe.data.columns.text_pair is not None


def _layer_map(run: RunFolder, recipe: Recipe) -> Pairs | None:
    """The last map that a stage matched, in the layers that the final student has."""
    found: list[tuple[int, int]] | None = None
    for stage in plan_stages(recipe):
        if not run.is_marked_done(stage):
            continue
        facts = run.read_stage(stage)
        if stage.kind == "distill" and facts.get("layer_map"):
            found = [(int(student), int(teacher)) for student, teacher in facts["layer_map"]]
        if found and isinstance(stage.config, PruneStage):
            found = _kept(found, facts)
    return tuple(found) if found else None


def _kept(pairs: list[tuple[int, int]], facts: dict[str, Any]) -> list[tuple[int, int]]:
    """A map after layers were removed: the others moved up."""
    kept = facts.get("layers")
    if not isinstance(kept, list):
        return pairs
    return [(kept.index(student) + 1, teacher) for student, teacher in pairs if student in kept]
