"""A run of each kind of task, killed while its student learns, ends as one that was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from distill.pipeline.runner import resume, run
from distill.recipe.loader import load_recipe

STAGE = "02-prediction"

#: Texts, what is good or bad of each, and where they are written.
Rows = list[tuple[str, int]]


def write_lines(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def ner(folder: Path, name: str, rows: Rows) -> str:
    """What a film is like, and the film, are entities; long rows are read in windows."""
    lines = []
    for text, label in rows:
        words = text.split()
        tags = ["O", f"B-{('bad', 'good')[label]}", "B-film", *["O"] * (len(words) - 3)]
        lines += [*(f"{word} {tag}" for word, tag in zip(words, tags, strict=True)), ""]
    path = folder / f"{name}.conll"
    path.write_text("\n".join(lines), "utf-8")
    return str(path)


def qa(folder: Path, name: str, rows: Rows) -> str:
    """The answer follows `very`; some contexts are longer than a window."""
    paragraphs = []
    for number, (_, label) in enumerate(rows):
        word, filler = ("bad", "good")[label], " ".join(["the film was here"] * (1 + number % 9))
        context = f"{filler} . it was very {word} . {filler}"
        answers = [{"text": word, "answer_start": context.index("very ") + 5}]
        question = {"id": f"q{number}", "question": "what was it?", "answers": answers}
        if number % 5 == 4:
            question |= {"answers": [], "is_impossible": True}
        paragraphs.append({"context": context, "qas": [question]})
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), "utf-8")
    return str(path)


def several(folder: Path, name: str, rows: Rows) -> str:
    return write_lines(folder, name, [
        {"text": text, "label": [("bad", "good")[label], *["film"] * (number % 2)]}
        for number, (text, label) in enumerate(rows)
    ])  # fmt: skip


def number(folder: Path, name: str, rows: Rows) -> str:
    return write_lines(folder, name, [
        {"text": text, "label": 4.0 * label + place % 3 / 4}
        for place, (text, label) in enumerate(rows)
    ])  # fmt: skip


def vectors(folder: Path, name: str, rows: Rows) -> str:
    """Pairs, more alike where both are good or both are bad."""
    found = []
    for place, (text, label) in enumerate(rows):
        other, its = rows[place // 2]
        found.append({"text": text, "other": other, "label": 4.0 * (label == its) + place % 3 / 2})
    return write_lines(folder, name, found)


def ranking(folder: Path, name: str, rows: Rows) -> str:
    """Two or three candidates each, of which the good ones are relevant."""
    found = []
    for place in range(len(rows)):
        own = [rows[(place + step) % len(rows)] for step in range(2 + place % 2)]
        texts, labels = zip(*own, strict=True)
        found.append({"query": f"film {place}", "candidates": texts, "label": labels})
    return write_lines(folder, name, found)


Writer = Callable[[Path, str, Rows], str]
KINDS: dict[str, tuple[Writer, dict[str, Any], dict[str, Any]]] = {
    "ner": (ner, {}, {"max_length": 16}),
    "qa": (qa, {"no_answer": True, "stride": 8}, {"max_length": 48}),
    "multi_label": (several, {"thresholds": "auto"}, {}),
    "regression": (number, {"bounds": [0, 5]}, {}),
    "ranking": (ranking, {}, {}),
    "vectors": (vectors, {}, {"columns": {"text_pair": "other"}}),
}


def recipe_for(path: Path, kind: str, sentences: tuple[list[str], list[int]]) -> Path:
    """The tiny recipe with another task, and a teacher and a student that learn a few steps."""
    write, task, data = KINDS[kind]
    recipe = yaml.safe_load(path.read_text("utf-8"))
    rows = list(zip(*sentences, strict=True))
    recipe["data"] |= data
    for name, part in (("train", rows[:48]), ("validation", rows[48:])):
        recipe["data"][name] = write(path.parent, name, part)
    recipe["teacher"]["finetune"] |= {"epochs": 1}
    objective = "similarity" if kind == "vectors" else "logits"
    student = {"kind": "distill", "name": STAGE[3:], "objectives": [{"kind": objective}]}
    student |= {"epochs": 8, "batch_size": 8, "lr": 1e-3}
    evaluate = recipe["stages"][-1] | {"batch_sizes": [1], "repeats": 1}
    recipe |= {
        "task": {"kind": kind, **task},
        "track": {},
        "baseline": False,
        "stages": [student, evaluate],
    }
    changed = path.with_name(f"{kind}.yaml")
    changed.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    return changed


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_in_the_same_bytes(
    tmp_path: Path, tiny_recipe: Path, sentences: Any, kind: str, killed_at: Any
) -> None:
    recipe = recipe_for(tiny_recipe, kind, sentences)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    sign = broken / STAGE / "checkpoint" / "last.ckpt"
    killed_at(sign, "run", recipe, "--run-dir", broken)
    assert not (broken / STAGE / "done.json").exists()
    results = resume(broken)
    log = (broken / "log.txt").read_text("utf-8")
    assert "[1/3] teacher: done before" in log
    expected = run(load_recipe(recipe), whole)
    files = [
        "01-teacher/model/model.safetensors",
        f"{STAGE}/model/model.safetensors",
        "03-evaluate/predictions.npz",
        "03-evaluate/disagreements.json",
    ]
    for name in files:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    facts = [json.loads((r / STAGE / "stage.json").read_text("utf-8")) for r in (whole, broken)]
    assert facts[0]["history"] == facts[1]["history"]
    scores = [{row["name"]: row["scores"] for row in one["models"]} for one in (expected, results)]
    assert scores[0] == scores[1]
    assert list(scores[0]) == ["linear", "teacher", STAGE[3:]]
