"""Rows, models and stages of every kind of task, as small as can be and without any training."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

LABELS = {
    "classification": ("negative", "positive"),
    "multi_label": ("good", "bad", "film"),
    "regression": ("score",),
    "ner": ("O", "B-bad", "I-bad", "B-film", "I-film", "B-good", "I-good"),
    "qa": ("start", "end"),
    "vectors": (),
}
TASKS: dict[str, dict[str, Any]] = {
    "classification": {"labels": ["negative", "positive"]},
    "multi_label": {"labels": ["good", "bad", "film"]},
    "regression": {"bounds": [0, 5]},
    "ner": {"labels": list(LABELS["ner"])},
    "qa": {"stride": 4},
    "vectors": {},
    "ranking": {},
}
TRAIN_ROWS = 40
#: Layers, hidden width, heads and neurons of teacher and student.
SIZE = (3, 32, 4, 24)


def write_rows(kind: str, folder: Path, texts: Sequence[str], labels: Sequence[int]) -> dict:
    """Write the rows of a task; the ``data`` section of its recipe."""
    data: dict[str, Any] = {"source": "files", "max_length": 24}
    for name, rows in (("train", range(TRAIN_ROWS)), ("validation", range(TRAIN_ROWS, len(texts)))):
        file = folder / f"{name}{'.conll' if kind == 'ner' else '.jsonl'}"
        chosen = [(texts[row], labels[row], row) for row in rows]
        file.write_text(_CONTENT.get(kind, _lines)(kind, chosen), "utf-8")
        data[name] = str(file)
    if kind == "vectors":
        data["columns"] = {"text": "one", "text_pair": "two", "label": "score"}
    if kind == "ranking":
        data["columns"] = {"label": "scores"}
    return data


Rows = list[tuple[str, int, int]]


def _lines(kind: str, rows: Rows) -> str:
    found = []
    for text, good, row in rows:
        label: Any = LABELS["classification"][good]
        if kind == "multi_label":
            label = ["good" if good else "bad"] + ["film"] * (row % 2)
        if kind == "regression":
            label = 4.0 * good + row % 3 / 4
        found.append({"text": text, "label": label})
    return "\n".join(map(json.dumps, found)) + "\n"


def _tagged(_: str, rows: Rows) -> str:
    lines = []
    for text, good, _row in rows:
        words = text.split()
        tags = ["O", f"B-{'good' if good else 'bad'}", "B-film", *["O"] * (len(words) - 3)]
        lines += [f"{word} {tag}" for word, tag in zip(words, tags, strict=True)] + [""]
    return "\n".join(lines)


def _asked(_: str, rows: Rows) -> str:
    found = []
    for text, _good, row in rows:
        context = f"{text} . it is very {text.split()[1]} . {text}"
        start = context.index("very ") + 5
        answers = {"text": [text.split()[1]], "answer_start": [start]}
        asked = {"id": str(row), "question": "what was it?", "context": context}
        found.append(asked | {"answers": answers})
    return "\n".join(map(json.dumps, found)) + "\n"


def _pairs(_: str, rows: Rows) -> str:
    found = []
    for place, (text, good, row) in enumerate(rows):
        other = rows[place * 5 % len(rows)]
        found.append({"one": text, "two": other[0], "score": 4 * (other[1] == good) + row % 3 / 2})
    return "\n".join(map(json.dumps, found)) + "\n"


def _lists(_: str, rows: Rows) -> str:
    """Each query asks for good or bad films; lists are of unlike lengths, with two grades."""
    found = []
    for number in range(len(rows) // 2):
        own = [rows[(7 * number + 5 * k) % len(rows)] for k in range(3 + number % 4)]
        wanted = number % 2
        scores = [(1 + row % 2) * (good == wanted) for _, good, row in own]
        query = f"{'good' if wanted else 'bad'} film {number}"
        found.append({"query": query, "candidates": [one[0] for one in own], "scores": scores})
    return "\n".join(map(json.dumps, found)) + "\n"


_CONTENT: dict[str, Callable[[str, Rows], str]] = {
    "ner": _tagged,
    "qa": _asked,
    "vectors": _pairs,
    "ranking": _lists,
}


def make_model(kind: str, tokens: int, *, seed: int = 0, **changes: Any) -> Any:
    """A random model with the head of a task, whose outputs depend on what it reads."""
    from transformers import BertConfig

    from distill.tasks import task_class
    from students.heads import class_of
    from students.pooling import POOLING

    layers, hidden, heads, ffn = SIZE
    config = BertConfig(
        vocab_size=tokens,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=ffn,
        max_position_embeddings=changes.pop("positions", 64),
        id2label=dict(enumerate(LABELS[kind] or ("x", "y"))),
        label2id={label: index for index, label in enumerate(LABELS[kind] or ("x", "y"))},
        problem_type=task_class(kind).problem_type,
        initializer_range=0.2,
    )
    if kind == "vectors":
        setattr(config, POOLING, changes.pop("pooling", "mean"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = class_of(config, task_class(kind).head)(config).eval()
        for name, weight in model.named_parameters():
            if name.endswith("bias"):  # zero after initialisation: a lost bias would not be seen
                torch.nn.init.normal_(weight, std=0.2)
    model.config.architectures = [type(model).__name__]
    return model


def near(model: Any, *, by: float = 0.05) -> Any:
    """A copy whose weights lie a little away: a student that has something left to learn."""
    import copy

    other = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(1)
    for weight in other.parameters():
        noise = torch.randn(weight.shape, generator=draw)
        weight.data.add_(noise * by)
    return other


def recipe_of(kind: str, folder: Path, model: Path, stages: list[dict], data: dict) -> Path:
    """Write the recipe of a run with these stages behind a distillation."""
    objective = "similarity" if kind == "vectors" else "logits"
    recipe = {
        "recipe": 1,
        "name": "tiny",
        "task": {"kind": kind, **TASKS[kind]},
        "data": data,
        "teacher": {"model": str(model), "finetune": {"epochs": 1}},
        "student": {"size": "{}x{}/{}/{}".format(*SIZE)},
        "baseline": False,
        "stages": [{"kind": "distill", "objectives": [{"kind": objective}]}, *stages],
        "trainer": {"threads": 1, "precision": "fp32", "checkpoint_steps": 3},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    return path
