"""The model card: the bundle's README, from the same numbers as table and report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from distill.evaluation.results import Results, is_teacher
from distill.recipe.schema import DataConfig, Recipe
from distill.report.page import fill
from distill.report.table import INTERVAL, described, models_table
from distill.runtime.manifest import read_manifest
from distill.system import atomic
from distill.tasks import decoder_class
from students.family import PRUNED
from students.folder import read_config

#: Hub names of teachers that recipes name otherwise.
_HUB_NAMES = {"minilm-l6": "sentence-transformers/all-MiniLM-L6-v2"}


def write_card(bundle: Path, student: Path, recipe: Recipe, results: Results | None) -> None:
    """Write a bundle's ``README.md``, with numbers once there are any; ``student``: its folder."""
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


def make_card(
    results: Results | None,
    recipe: Recipe,
    *,
    labels: Sequence[str] = (),
    formats: Sequence[str] = ("transformers", "onnx"),
    pair: bool = False,
    pruned: bool = False,
) -> str:
    """The card as Markdown, with the front matter that the model hub reads.

    Args:
        results: the run's numbers; ``None`` before the evaluation.
        recipe: the run's recipe.
        labels: names of the outputs in order; left out, the recipe's.
        formats: what the bundle holds: ``transformers``, ``onnx``, ``onnx-int8``.
        pair: whether a row is a pair of sentences.
        pruned: whether parts have sizes of their own, so that ``transformers`` needs the code
            that lies in the folder.
    """
    decoder = decoder_class(recipe.task.kind)
    return fill(
        "card.md.j2",
        escape=False,  # Markdown, not HTML
        front=_front_matter(results, recipe, formats),
        name=recipe.name,
        description=recipe.description,
        task=recipe.task,
        teacher=_teachers(recipe),
        targets=(recipe.teacher.values or recipe.task.targets[0]) if recipe.teacher.files else None,
        student=recipe.student,
        init=_start(recipe),
        stages=[f"{stage.name} ({stage.kind})" for stage in recipe.stages],
        data=_describe_data(recipe.data),
        max_length=recipe.data.max_length,
        words=decoder.words,
        gives=decoder.gives(labels or recipe.task.labels or ()),
        formats=list(formats),
        pair=pair,
        candidates=decoder.takes_candidates,
        seconds=decoder.second_texts(),
        pruned=pruned,
        numbers=_numbers(results),
    )


def _front_matter(results: Results | None, recipe: Recipe, formats: Sequence[str]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    words, data = decoder_class(recipe.task.kind).words, recipe.data
    is_onnx = any(name.startswith("onnx") for name in formats)
    scores = results.final.scores if results is not None else {}
    where = data.path or ("docstrings" if data.source != "files" else "files")
    entries = [
        EvalResult(
            task_type=words.pipeline,
            dataset_type=where,
            dataset_name=_describe_data(data).removeprefix("the "),
            dataset_config=data.subset,
            dataset_split=results.split if results is not None else None,
            metric_type=name,
            metric_value=round(value, 4),
        )
        for name, value in scores.items()
        if math.isfinite(value)
    ]
    return ModelCardData(
        model_name=recipe.name,
        library_name="transformers" if "transformers" in formats else "distill",
        pipeline_tag=words.pipeline,
        tags=[
            *(words.tag, "knowledge-distillation", "bert"),
            *(("onnx", "transformers.js") if is_onnx else ()),
        ],
        metrics=[recipe.task.metric],
        base_model=_base_model(recipe),
        datasets=[data.path] if data.source == "hub" and data.path else None,
        eval_results=entries or None,
    ).to_yaml()


def _numbers(results: Results | None) -> dict[str, Any] | None:
    if results is None:
        return None
    table = models_table(results)
    return described(results) | {
        "table": table.markdown(),
        "intervals": INTERVAL in table.header,
        "versions": results.machine.get("versions", {}),
        "split": results.split,
        "has_student": not is_teacher(results.final.name),
    }


def _teachers(recipe: Recipe) -> str:
    """The teachers' names; of a folder or file its own name, as cards travel and paths do not."""
    if recipe.teacher.files:
        return PurePath(recipe.teacher.files["train"]).name
    first = _base_model(recipe) or PurePath(recipe.source.model).name
    return ", ".join([first, *(PurePath(teacher.model).name for teacher in recipe.teacher.more)])


def _start(recipe: Recipe) -> str:
    """What the student was initialised from; of a path its last part."""
    start = PurePath(recipe.student.init).name
    if recipe.student.model is None:
        return start
    return f"{PurePath(recipe.student.model).name} ({start})"


def _base_model(recipe: Recipe) -> str | None:
    """The name on the hub of the model that the student is made from; ``None`` for a folder."""
    name = _HUB_NAMES.get(recipe.source.model, recipe.source.model)
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists()
    return None if is_path else name


def _describe_data(data: DataConfig) -> str:
    if data.source == "files":
        named = (data.train, data.validation, data.test)
        names = [PurePath(file).name for file in named if isinstance(file, str)]
        return f"the files {', '.join(names)}"
    if data.source == "hub":
        parts = [data.path or "", data.subset or ""]
        return f"the hub data set {' / '.join(part for part in parts if part)}"
    return f"the built-in data set '{data.path or 'docstrings'}'"
