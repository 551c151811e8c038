"""What a report is made from: the files of a run folder, read without torch."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from distill.evaluation.results import Results, read_results
from distill.report.numbers import align
from distill.run_folder import RunFolder, read_mapping
from distill.system.errors import RunFolderError, quoted

Curve = list[tuple[float, float]]
#: (student layer, teacher layer), counted from 1.
LayerPairs = tuple[tuple[int, int], ...]


class StageFacts(BaseModel):
    """One stage as in its ``stage.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    folder: str  # such as ``03-prediction``
    name: str
    kind: str = ""
    seconds: float | None = None
    score: float | None = None  # on the validation examples
    notes: tuple[str, ...] = ()
    layer_map: LayerPairs | None = None
    student_layers: int | None = None
    teacher_layers: int | None = None
    # Rows that augmentation changed, each with what was made of it.
    augmented: tuple[tuple[str, tuple[str, ...]], ...] = ()
    steps: int | None = None
    # Measures on held-out text before and after the training, where there is no score.
    before: dict[str, float] = {}
    after: dict[str, float] = {}


@dataclass(frozen=True)
class RunData:
    """Everything a report shows."""

    path: Path  # the run folder
    recipe: str  # the resolved recipe as text
    results: Results | None  # the numbers, or ``None`` before the evaluation
    stages: tuple[StageFacts, ...] = ()  # in the order of their folders
    # stage -> metric -> (step, value) pairs in the order of steps
    curves: dict[str, dict[str, Curve]] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)  # what it last ran on
    # ``data.json``: facts of the rows; empty before the run's start
    data: dict[str, Any] = field(default_factory=dict)
    # the file of every model's predictions for the scored examples, or ``None``
    predictions: Path | None = None
    # some rows that teacher and final model answer differently
    disagreements: tuple[dict[str, Any], ...] = ()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The recipe as plain values."""
        content = yaml.safe_load(self.recipe)
        return content if isinstance(content, dict) else {}


def read_run(run: Path) -> RunData:
    """Read a run folder, finished or not.

    Raises:
        RunFolderError: it is not a run folder, or its results cannot be read.
    """
    folder = RunFolder(run)
    begun = folder.exists() and not folder.results.exists()
    results = None if begun else read_results(run)
    return RunData(
        path=run,
        recipe=folder.recipe_file.read_text("utf-8"),
        results=results,
        stages=tuple(_stages(run)),
        curves=read_curves(folder.metrics),
        machine=_machine(folder.environment),
        data=read_mapping(folder.data) or {},  # a run over text has none
        predictions=next(iter(run.glob("[0-9]*-*/predictions.npz")), None),
        disagreements=tuple(_disagreements(run)),
    )


def _disagreements(run: Path) -> Iterable[dict[str, Any]]:
    for path in run.glob("[0-9]*-*/disagreements.json"):
        try:
            yield from json.loads(path.read_text("utf-8"))["rows"]
        except (ValueError, TypeError, LookupError) as error:
            raise RunFolderError(
                f"{path}: cannot be read ({error}); make it anew: "
                f"distill evaluate {quoted(run)} --rerun"
            ) from None


def _machine(environment: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(environment.read_text("utf-8"))[-1]["machine"])
    except (OSError, ValueError, TypeError, LookupError):
        return {}  # an embellishment: the page stands without it


def _stages(run: Path) -> Iterable[StageFacts]:
    for path in sorted(run.glob("[0-9]*-*/stage.json"), key=_stage_number):
        try:
            content = json.loads(path.read_text("utf-8"))
            yield _stage(path.parent.name, content)
        except (ValueError, TypeError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise RunFolderError(
                f"{path}: cannot be read ({reason}); write it again: distill resume {quoted(run)}"
            ) from None


def _stage_number(path: Path) -> tuple[int, str]:
    number = path.parent.name.partition("-")[0]
    return (int(number) if number.isdigit() else 0, path.parent.name)


def _stage(folder: str, content: dict[str, Any]) -> StageFacts:
    notes = content.get("notes") or ()
    notes = (notes,) if isinstance(notes, str) else tuple(notes)
    facts = {"name": folder.partition("-")[2]} | {k: v for k, v in content.items() if v is not None}
    facts |= {"folder": folder, "notes": (*_training(content), *notes)}
    return StageFacts.model_validate(facts | {"augmented": tuple(_examples(content))})


def _examples(content: dict[str, Any]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Originals of an augment stage with what was made of them; a pair as one line."""
    if content.get("kind") != "augment":
        return
    for example in content.get("examples") or ():
        yield _line(example), tuple(_line(new) for new in example["augmented"])


def _line(row: dict[str, str]) -> str:
    return " | ".join(row[key] for key in ("text", "text_pair") if key in row)


def _training(content: dict[str, Any]) -> Iterable[str]:
    if content.get("steps"):
        stopped = ", stopped early" if content.get("stopped_early") else ""
        best = content.get("best_step")
        kept = "" if best in (None, content["steps"]) else f", best at {best}"
        yield f"{content['steps']} steps{kept}{stopped}"
    if search := content.get("layer_map_search"):
        tried = ", ".join(f"{one['name']} {one['score']:.4f}" for one in search["tried"])
        yield f"layer map {search['chosen']} of {tried}"
    if content.get("heads") and content.get("ffn"):
        heads, neurons = ("-".join(map(str, content[key])) for key in ("heads", "ffn"))
        yield f"heads by layer {heads}, neurons {neurons}"


def read_curves(path: Path) -> dict[str, dict[str, Curve]]:
    """Read ``metrics.csv`` (stage, step, epoch, metric, value, seconds).

    A row that was cut off when a run was killed is left out, as is a value that is not finite. Of
    a value written twice (a step done again after a resume) the last counts.

    Returns:
        stage -> metric -> (step, value) pairs in the order of steps; empty without the file.
    """
    found: dict[str, dict[str, dict[float, float]]] = {}
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                step, value = float(row["step"]), float(row["value"])
                points = found.setdefault(row["stage"], {}).setdefault(row["metric"], {})
            except (KeyError, TypeError, ValueError):
                continue
            if math.isfinite(value):
                points[step] = value
    return {
        stage: {metric: sorted(points.items()) for metric, points in metrics.items()}
        for stage, metrics in found.items()
    }


def held_out(run: RunData) -> list[dict[str, Any]]:
    """The measures of all finished stages on held-out text, in order; none for a run with a score.

    Each is of a ``stage`` after its ``steps``: a ``measure`` such as ``loss``, ``before`` the first
    step and ``after`` the last one.
    """
    return [
        {
            "stage": stage.name,
            "steps": stage.steps or 0,
            "measure": measure,
            "before": before,
            "after": stage.after[measure],
        }
        for stage in run.stages
        for measure, before in stage.before.items()
        if measure in stage.after
    ]


def held_out_table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """The measures as rows of text, titles first."""
    titles = ["stage", "steps", "held-out", "before", "after", "change"]
    return [titles] + [
        [
            row["stage"],
            f"{row['steps']:,}",
            row["measure"],
            f"{row['before']:.4f}",
            f"{row['after']:.4f}",
            f"{row['after'] / row['before'] - 1:+.1%}" if row["before"] else "-",
        ]
        for row in rows
    ]


def held_out_object(run: Path) -> dict[str, Any]:
    """The measures of a run as plain values."""
    return {"schema": 1, "held_out": held_out(read_run(run))}


def held_out_lines(run: Path) -> list[str]:
    """The measures of a run as aligned lines; none for a run with a score."""
    rows = held_out(read_run(run))
    return align(held_out_table(rows), words=6) if rows else []
