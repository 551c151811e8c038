"""A quantize stage with a student in front of it, without anything trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import task_kinds as kinds
import yaml
from run_files import write_lines

LABELS = ("negative", "positive")


def _behind(recipe: Path, models: list[Any], tokenizer: Any, *, score: float) -> Any:
    """The context of a recipe's third stage; the models stand for the two before it."""
    from distill.export.transformers_folder import save_transformers
    from distill.recipe.loader import load_recipe
    from distill.recipe.plan import plan_stages
    from distill.run_folder import RunFolder
    from distill.stages.context import StageContext
    from distill.stages.workspace import Workspace

    loaded = load_recipe(recipe)
    stages, run = plan_stages(loaded), RunFolder(recipe.parent / "run")
    run.create(loaded)
    for model, stage in zip(models, stages, strict=False):
        save_transformers(model, tokenizer, run.stage(stage) / "model")
        (run.stage(stage) / "stage.json").write_text(json.dumps({"score": score}))
    run.stage(stages[2]).mkdir()
    return StageContext(run, stages[2], stages, Workspace(loaded))


@pytest.fixture
def prepared(tmp_path: Path, tiny_bert, sentences, exported_once) -> Callable[..., Any]:
    """A factory: the context of a quantize stage whose student gives every row its own label.

    ``prepared(change=None, formats=("transformers", "onnx"), stage=None, trainer=None,
    **settings)``: ``change(model)`` edits the student; settings are the stage's, ``stage`` is one
    of another kind in its place, ``trainer`` the recipe's. Rows are labelled by the student, so
    fp32 scores 1.
    """

    def build(
        *,
        change: Callable[[Any], None] | None = None,
        formats: tuple[str, ...] = ("transformers", "onnx"),
        stage: dict[str, Any] | None = None,
        trainer: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Any:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        folder = tiny_bert(labels=LABELS)
        model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model.classifier.weight.data.mul_(10)
        if change is not None:
            change(model)
        texts, _ = sentences
        encoded = tokenizer(list(texts), return_tensors="pt", padding=True)
        logits = model(**encoded).logits
        model.classifier.bias.data.sub_(logits.mean(0).detach())  # both labels, half each
        found = model(**encoded).logits.argmax(-1).tolist()
        rows = [{"text": t, "label": LABELS[k]} for t, k in zip(texts, found, strict=True)]
        files = {
            name: write_lines(tmp_path / f"{name}.jsonl", rows) for name in ("train", "validation")
        }
        recipe = {
            "recipe": 1,
            "name": "tiny",
            "task": {"kind": "classification", "labels": list(LABELS)},
            "data": {"source": "files", **files, "max_length": 64},
            "teacher": {"model": str(folder)},
            "student": {"size": "2x32/2/64"},
            "baseline": False,
            "stages": [
                {"kind": "distill", "objectives": [{"kind": "logits"}]},
                stage or {"kind": "quantize", "calibration_examples": 24, **settings},
                {"kind": "export", "formats": list(formats), "max_drop": 1.0},
            ],
            "trainer": {"threads": 1, "precision": "fp32", **(trainer or {})},
        }
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
        return _behind(path, [model, model], tokenizer, score=1.0)

    return build


@pytest.fixture
def of_kind(tmp_path: Path, tiny_bert, sentences, exported_once) -> Callable[..., Any]:
    """A factory: the context of a stage of a task of any kind, behind a student that is there.

    ``of_kind(kind, stage, *more, change=None, formats=("transformers", "onnx"))``: teacher and
    student are random, the student a little away from the teacher; ``change(student)`` edits it or
    gives another one.
    ``more`` stages follow, and an export of these formats behind them. Nothing is trained.
    """

    def build(
        kind: str,
        stage: dict[str, Any],
        *more: dict[str, Any],
        change: Callable[[Any], Any] | None = None,
        formats: tuple[str, ...] = ("transformers", "onnx"),
    ) -> Any:
        from transformers import AutoTokenizer

        layers, hidden, heads, ffn = kinds.SIZE
        folder = tiny_bert(layers=layers, hidden=hidden, heads=heads, ffn=ffn)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        teacher = kinds.make_model(kind, len(tokenizer))
        student = kinds.near(teacher)
        if change is not None:
            student = change(student) or student
        stages = [stage, *more, {"kind": "export", "formats": list(formats), "max_drop": 1.0}]
        data = kinds.write_rows(kind, tmp_path, *sentences)
        path = kinds.recipe_of(kind, tmp_path, folder, stages, data)
        # Below every correlation, so that the export's gate lets every file through.
        return _behind(path, [teacher, student], tokenizer, score=-1.0)

    return build
