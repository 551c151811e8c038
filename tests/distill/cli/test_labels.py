"""`distill run` on files whose labels are not what they look like: refused in a line, or named."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from distill.cli.main import main

RECIPE = """\
recipe: 1
name: labels
task: {{kind: {kind}}}
data: {{source: files, train: {train}, max_length: 16}}
teacher: {{model: {teacher}, finetune: {{epochs: 1, batch_size: 8, lr: 1.0e-3}}}}
student: {{size: 1x32, init: random}}
baseline: false
stages:
- {{kind: distill, name: prediction, epochs: 1, objectives: [{{kind: logits}}]}}
- {{kind: evaluate, name: evaluate, batch_sizes: [1], lengths: [8]}}
"""
TEXTS = [f"the {'good' if n % 2 else 'bad'} film {n}" for n in range(24)]


def write(path, labels):
    lines = [json.dumps({"text": f"text {n}", "label": one}) for n, one in enumerate(labels)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def class_labels(path, names, labels, lists=False):
    """A parquet file as `datasets` writes it, with the names of the integers."""
    kind: Any = datasets.ClassLabel(names=names)
    features = {"text": datasets.Value("string"), "label": datasets.List(kind) if lists else kind}
    rows = {"text": TEXTS, "label": [[one] for one in labels] if lists else labels}
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).to_parquet(path)
    return path


@pytest.fixture
def run(tmp_path, tiny_bert, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def call(train: Path, *words: str, kind: str = "classification") -> tuple[int, str]:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(RECIPE.format(kind=kind, train=train, teacher=tiny_bert()), "utf-8")
        code = main(["run", str(recipe), *words])
        return code, capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    ("kind", "names", "labels"),
    [
        ("classification", ["-1", "1"], [-1, 1] * 10 + [0]),
        ("multi_label", ["1", "2", "3"], ["1", "2", "3", "1"] * 5 + ["0"]),
        ("classification", ["0.5", "+1", "x"], ["+1", "x"] * 10 + [1]),
    ],
)
def test_an_integer_is_no_position_among_labels_that_are_integers(
    run, tmp_path, kind, names, labels
):
    path = write(tmp_path / "rows.jsonl", labels if kind == "classification" else
                 [[one] for one in labels])  # fmt: skip
    code, said = run(path, f"task.labels={json.dumps(names)}", kind=kind)
    assert code == 2
    assert f"{path}:21: the label '{labels[-1]}' is unknown; labels are '{names[0]}'" in said
    assert "these are names, not positions" in said


@pytest.mark.parametrize("kind", ["classification", "multi_label"])
def test_files_with_other_names_of_as_many_are_refused_with_both_lists(run, tmp_path, kind):
    lists = kind == "multi_label"
    labels = [n % 2 for n in range(24)]
    train = class_labels(tmp_path / "a.parquet", ["negative", "positive"], labels, lists)
    other = class_labels(tmp_path / "b.parquet", ["Positive", "Negative"], labels, lists)
    code, said = run(train, f"data.validation={other}", kind=kind)
    assert code == 2
    assert f"{other}: its labels are 'Positive', 'Negative', and the task's are" in said
    assert "'negative', 'positive'; 'Positive' is none of them; did you mean 'positive'?" in said


def test_files_with_the_same_names_in_another_order_are_matched_by_name(run, tmp_path):
    labels = [n % 2 for n in range(24)]
    train = class_labels(tmp_path / "a.parquet", ["negative", "positive"], labels)
    flipped = [1 - one for one in labels]
    other = class_labels(tmp_path / "b.parquet", ["positive", "negative"], flipped)
    code, _ = run(train, f"data.validation={other}", "teacher.finetune.epochs=6", "--run-dir", "r")
    assert code == 0
    results = json.loads((tmp_path / "r" / "results.json").read_text("utf-8"))
    assert results["models"][0]["score"] > 0.8  # the very rows it learned


def test_too_few_rows_say_so(run, tmp_path):
    path = write(tmp_path / "three.jsonl", ["y", "n", "n"])
    code, said = run(path)
    assert code == 2
    assert f"{path}: 3 examples are too few to hold some out for validation" in said
    assert "data.limit_train" not in said
    assert not (tmp_path / "runs").exists()
