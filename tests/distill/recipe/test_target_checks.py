"""Rules of a teacher that is a file."""

import pytest

from distill.recipe.inputs import anchored, missing_inputs
from distill.recipe.loader import load_recipe, resolved_yaml

#: Over the recipe of these tests: a file in place of its teacher, and logits alone.
BY_FILE = ("teacher={targets: t.jsonl}", "student.model=minilm-l6", "stages.intermediate=null")


def test_a_file_in_place_of_a_teacher(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(write(), *BY_FILE)
    assert recipe.teacher.all == []
    assert recipe.source.model == "minilm-l6"
    assert missing_inputs(recipe) == [(("teacher", "targets"), "no such file: t.jsonl")]
    assert anchored(recipe).teacher.targets == str(tmp_path / "t.jsonl")
    again = tmp_path / "again.yaml"
    again.write_text(resolved_yaml(recipe), "utf-8")
    assert load_recipe(again) == recipe
    split = load_recipe(write(), *BY_FILE, "teacher.targets={train: a.csv, test: b.npy}")
    assert split.teacher.files == {"train": "a.csv", "test": "b.npy"}
    assert anchored(split).teacher.files["test"] == str(tmp_path / "b.npy")
    where = [loc for loc, _ in missing_inputs(split)]
    assert where == [("teacher", "targets", "train"), ("teacher", "targets", "test")]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["teacher={}"], "teacher.model: missing; a hub name, a folder, or 'minilm-l6'"),
        (["teacher.values=logits"], "teacher.values: only with `targets`; leave it out"),
        (["student.model=minilm-l6"], "student.model: only with teacher.targets; the student"),
        ([*BY_FILE, "teacher.model=minilm-l6"], "teacher.model: a teacher is a model or `targe"),
        ([*BY_FILE, "teacher.finetune={}"], "teacher.finetune: a teacher is a model or `target"),
        ([*BY_FILE, "teacher.more=[{model: x/y}]"], "teacher.more: a teacher is a model or"),
        ([*BY_FILE, "student.model=null"], "student.model: missing; with teacher.targets no model"),
        ([*BY_FILE, "teacher.values=scores"], "teacher.values: a classification task learns from"),
        ([*BY_FILE, "teacher.values=odd"], "teacher.values: found the text 'odd', expected"),
        ([*BY_FILE, "teacher.labels=[a, b]"], "teacher.labels: found a, b; the task's labels are"),
        ([*BY_FILE, "teacher.targets={test: t.csv}"], "teacher.targets.train: missing; For the"),
        (
            [*BY_FILE, "stages.prediction.objectives.+={kind: attention}"],
            "objectives.+: attention: teacher.targets has what a teacher predicted, and nothing",
        ),
        (
            [*BY_FILE, "stages.+prediction={kind: augment}"],
            "kind: 'augment' makes examples that teacher.targets has no targets for",
        ),
        (
            [*BY_FILE, "task={kind: ner}", "data={source: files, train: a.conll}"],
            "teacher.targets: not for task.kind: ner, whose teacher is a model; works with: class",
        ),
    ],
)
def test_rules(write, issues, overrides, said):
    told = issues(write(), *overrides)
    assert len(told) == 1
    assert said in told[0]
