import json

import pytest

from distill.recipe.inputs import missing_inputs
from distill.recipe.loader import load_recipe
from distill.recipe.plan import plan_stages
from distill.recipe.run_models import model_of_run
from distill.system.errors import ModelError

TEXT = """\
recipe: 1
name: text
task: {kind: text}
data: {source: files, train: [a.txt, b]}
teacher: {model: minilm-l6}
student: {size: 3x384, init: random}
stages:
  - kind: distill
    max_steps: 100
    objectives: [{kind: attention}, {kind: hidden}]
"""


def test_a_text_recipe_has_no_baseline(write):
    recipe = load_recipe(write(text=TEXT))
    assert [stage.name for stage in plan_stages(recipe)] == ["teacher", "distill"]
    assert recipe.data.train == ["a.txt", "b"]


def test_masked_words_go_beside_what_the_teacher_gives(write, issues):
    objectives = "stages.distill.objectives=[{kind: hidden}, {kind: mlm, weight: 2}]"
    recipe = load_recipe(write(text=TEXT), objectives)
    assert [one.kind for one in recipe.stages[0].objectives] == ["hidden", "mlm"]
    # TinyBERT's published code has nothing of the kind.
    told = issues(write(text=TEXT), objectives, "stages.distill.mode=reference")
    assert "the reference matches embedding, attention, hidden, logits alone" in told[0]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.test=c.txt", "data.test: unlabelled text has no score to test"),
        (
            "data.columns.text_pair=b",
            "data.columns.text_pair: task.kind: text has the columns text",
        ),
        ("baseline={epochs: 1}", "baseline: it is trained on labels, of which text has none"),
        ("teacher.finetune={epochs: 1}", "teacher.finetune: fine-tuning needs labels"),
        ("teacher.labels=[a, b]", "teacher.labels: unlabelled text has none"),
        ("stages.distill.objectives=[{kind: logits}]", "objectives[0]: an encoder without a head"),
        ("stages.distill.layer_map=search", "layer_map: maps are searched by a score, which text"),
        ("stages.distill.patience=2", "patience: text has no score to stop by"),
        (
            "stages=[{kind: distill, objectives: [{kind: hidden}]}, {kind: export}]",
            "stages[1].kind: 'export' needs a task with labels",
        ),
        ("data.train=[]", "data.train: "),
        ("task.labels=[a, b]", "task.labels: only for task.kind: classification, multi_label, ner"),
        (
            "stages.distill.max_steps=0",
            "stages.distill.max_steps: found the number 0, expected at least 1",
        ),
    ],
)
def test_what_text_has_no_use_for(write, issues, override, said):
    told = issues(write(text=TEXT), override)
    assert any(said in line for line in told), told
    assert len(told) == 1


def test_a_list_of_files_is_for_text(write, issues):
    told = issues(write(), "data={source: files, train: [a.csv, b.csv]}")
    assert told == ["override: data.train: a list of files is for task.kind: text; name one file"]


def test_files_and_patterns_that_are_not_there(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(write(text=TEXT), "data.train=[a.txt, 'x*.txt', sub]")
    (tmp_path / "a.txt").write_text("a")
    told = [message for loc, message in missing_inputs(recipe) if loc[0] == "data"]
    assert told == ["no such file: x*.txt", "no such file: sub"]
    (tmp_path / "x1.txt").write_text("a")
    (tmp_path / "sub").mkdir()
    assert not [message for loc, message in missing_inputs(recipe) if loc[0] == "data"]


def make_run(folder, *, done, stages=None):
    model = folder / "02-general" / "model"
    model.mkdir(parents=True)
    chosen = stages or [{"kind": "distill", "name": "general"}]
    (folder / "recipe.yaml").write_text(json.dumps({"recipe": 1, "stages": chosen}), "utf-8")
    shape = {
        "num_hidden_layers": 3, "hidden_size": 384, "num_attention_heads": 12,
        "intermediate_size": 1536, "vocab_size": 30522,
    }  # fmt: skip
    (model / "config.json").write_text(json.dumps(shape), "utf-8")
    (model / "model.safetensors").write_bytes(b"")
    if done:
        (folder / "02-general" / "done.json").write_text("{}", "utf-8")
    return folder


def test_a_run_stands_for_its_student(tmp_path, write):
    run = make_run(tmp_path / "run", done=True)
    assert model_of_run(run) == run / "02-general" / "model"
    assert model_of_run(tmp_path) == tmp_path
    assert model_of_run(tmp_path / "nothing") == tmp_path / "nothing"
    recipe = load_recipe(write(), f"student.init={run}")
    assert [loc for loc, _ in missing_inputs(recipe) if loc[0] == "student"] == []


def test_runs_that_have_no_student(tmp_path, write, issues):
    begun = make_run(tmp_path / "begun", done=False)
    with pytest.raises(ModelError, match="its stage 'general', which makes the student, is not"):
        model_of_run(begun)
    told = issues(write(), f"student.init={begun}")
    assert "student.init" in told[0]
    assert "is not done: distill resume" in told[0]
    none = make_run(tmp_path / "none", done=True, stages=[{"kind": "evaluate", "name": "e"}])
    with pytest.raises(ModelError, match="a run that makes no student"):
        model_of_run(none)
