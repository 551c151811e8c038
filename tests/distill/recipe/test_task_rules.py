"""What a kind of task, of teacher or of student has no use for; each said at once, and alone."""

import json

import pytest

from distill.pipeline.plan import make_plan
from distill.recipe.inputs import anchored, missing_inputs
from distill.recipe.loader import load_recipe
from distill.recipe.plan import plan_stages
from distill.recipe.run_models import model_of_run
from distill.system.errors import ModelError
from distill.tasks.qa.config import QuestionTask
from distill.text.questions import Limits

LOGITS = "stages=[{kind: distill, objectives: [{kind: logits}]}]"
VECTORS = (
    "task={kind: vectors}",
    "data={source: files, train: a.jsonl, columns: {text_pair: b}}",
    "stages.distill.objectives=[{kind: vector}, {kind: similarity}]",
)
#: Each laid over the small recipe.
OVER = {
    "classes": (),
    "labels unread": ("teacher.finetune=null", "baseline=false"),
    "text": (
        "task={kind: text}",
        "data={source: files, train: [a.txt, b]}",
        "teacher={model: minilm-l6}",
        "student.init=random",
        "stages=[{kind: distill, max_steps: 100, objectives: [{kind: attention}, {kind: hidden}]}]",
    ),
    "entities": (
        "task={kind: ner}",
        "data={source: files, train: a.conll, max_length: 64}",
        LOGITS,
    ),
    "questions": ("task={kind: qa}", "data={source: files, train: train.json}"),
    "targets": (
        "teacher={targets: t.jsonl}",
        "student.model=minilm-l6",
        "stages.intermediate=null",
    ),
    "static": (
        "task.labels=[a, b, c]",
        "student={kind: static, dim: 64}",
        f"{LOGITS[:-1]}, {{kind: quantize}}, {{kind: export}}, {{kind: evaluate}}]",
    ),
}
RULES = {
    "classes": [
        ("data={source: files, train: [a.csv]}", ".train: a list of files is for task.kind: text;"),
        ("teacher={}", ".model: missing; a hub name, a folder, or 'minilm-l6'; or give `targets`,"),
        ("teacher.values=logits", ": only with `targets`; leave it out"),
        ("student.model=minilm-l6", ": only with teacher.targets; the student starts from the tea"),
        ("task.class_weights={yess: 2}", ".yess: no label; labels are no, yes"),
        ("task.class_weights={yes: 0}", ".yes: found the number 0, expected more than 0"),
        ("task.class_weights={}", ": found keys and values, expected 'balanced' or at least 1 ite"),
        ("task.class_weights=even", ": found the text 'even', expected 'balanced' or keys and val"),
        ("task.label_smoothing=1", ": found the number 1, expected less than 1"),
        ("task.positive_weights=balanced", ": only for task.kind: multi_label; leave it out"),
        ("task={kind: regression, class_weights: balanced}", ".class_weights: only for task.kind:"),
        ("task={kind: multi_label, label_smoothing: 0.1}", ".label_smoothing: only for task.kind:"),
        (
            "task={kind: multi_label, labels: [a, b], positive_weights: {c: 2}}",
            ".positive_weights.c: no label; labels are a, b",
        ),
        ("stages.+export={kind: quantize, method: table}", ".method: table is for student.kind: s"),
        ("stages.export.formats=[numpy]", ": 'numpy' is for student.kind: static; write onnx"),
        ("data.columns.answers=a", ": only for task.kind: qa; leave it out"),
    ],
    "labels unread": [
        ("task.class_weights=balanced", ": does nothing: no teacher is fine-tuned, there is no ba"),
        ("task.label_smoothing=0.1", ": does nothing: no teacher is fine-tuned, there is no basel"),
    ],
    "text": [
        ("data.test=c.txt", ": unlabelled text has no score to test; leave it out"),
        ("data.columns.text_pair=b", ": task.kind: text has the columns text; leave it out"),
        ("baseline={epochs: 1}", ": it is trained on labels, of which text has none; leave it out"),
        ("teacher.finetune={epochs: 1}", ": fine-tuning needs labels; leave it out"),
        ("teacher.labels=[a, b]", ": unlabelled text has none; leave it out"),
        ("stages.distill.objectives=[{kind: logits}]", "[0]: an encoder without a head gives no l"),
        ("stages.distill.layer_map=search", ": maps are searched by a score, which text has not; "),
        ("stages.distill.patience=2", ": text has no score to stop by; leave it out, or give `max"),
        ("stages.+={kind: export}", ".kind: 'export' needs a task with labels; a text recipe ends"),
        ("data.train=[]", ": found an empty list, expected at least 1 item"),
        ("task.labels=[a, b]", ": only for task.kind: classification, multi_label, ner; leave it "),
        ("stages.distill.max_steps=0", ": found the number 0, expected at least 1"),
        (
            "stages.distill={kind: distill, mode: reference, objectives: [{kind: mlm}]}",
            ".objectives[0].kind: the reference matches embedding, attention, hidden, logits alon",
        ),
    ],
    "entities": [
        ("task.stride=62", ": windows of 64 tokens (2 of them special) cannot share 62; write les"),
        ("task.labels=[O, B-x, E-x]", "[2]: 'E-x' is no tag of the scheme bio (B-TYPE, I-TYPE or "),
        ("data.columns.text=words", ": task.kind: ner has the columns tokens, tags, id; leave it "),
        ("data.columns.tags=tokens", ": 'tokens' is the column of 'tokens' too; they differ"),
        ("data={source: builtin, path: docstrings}", ".source: the built-in data have no entities"),
        ("task.metric=accuracy", ": found the text 'accuracy', expected 'f1', 'macro_f1', 'precis"),
        ("stages.+distill={kind: augment}", ".kind: 'augment' replaces words, after which tags no"),
    ],
    "questions": [
        ("data={source: builtin, path: docstrings}", ".source: the built-in data have no question"),
        ("task.threshold=1.0", ": only with no_answer: true; leave it out"),
        ("data.columns.text=q", ": task.kind: qa has the columns question, context, answers, id; "),
        (("data.max_length=64", "task.stride=40"), ": 64 tokens leave no room for the text beside"),
        ("stages.+intermediate={kind: augment}", ".kind: 'augment' replaces words, after which an"),
        ("stages.prediction.objectives=[{kind: standardized}]", "[0].kind: standardized compares "),
    ],
    "targets": [
        ("teacher.model=minilm-l6", ": a teacher is a model or `targets`; leave one of them out"),
        ("teacher.finetune={}", ": a teacher is a model or `targets`; leave one of them out"),
        ("teacher.more=[{model: x/y}]", ": a teacher is a model or `targets`; leave one of them o"),
        ("student.model=null", ": missing; with teacher.targets no model says what the student st"),
        ("teacher.values=scores", ": a classification task learns from probabilities or logits; w"),
        ("teacher.values=odd", ": found the text 'odd', expected 'probabilities', 'logits', 'scor"),
        ("teacher.labels=[a, b]", ": found a, b; the task's labels are no, yes"),
        ("teacher.targets={test: t.csv}", ".train: missing; For the training examples, and for va"),
        ("stages.prediction.objectives.+={kind: attention}", ": attention: teacher.targets has wh"),
        ("stages.+prediction={kind: augment}", ".kind: 'augment' makes examples that teacher.targ"),
        ("task={kind: ner}", "override: teacher.targets: not for task.kind: ner, whose teacher is"),
    ],
    "static": [
        ("student.dim=0", ": found the number 0, expected at least 1"),
        ("student.dim=385", ": 385 is more than the teacher's 384; write less"),
        ("student.size=3x384", ": only for student.kind: encoder; leave it out"),
        ("student.kind=statik", ": unknown kind 'statik'; there are: encoder, static; did you mea"),
        ("student={size: 3x384, dim: 64}", ".dim: only for student.kind: static; leave it out"),
        ("stages.distill.objectives=[{kind: hidden}]", "[0]: hidden: the student is static and ha"),
        ("stages.distill.layer_decay=0.9", ": a static student has no layers; leave it out"),
        ("baseline={layer_decay: 0.9}", ".layer_decay: a static student has no layers; leave it o"),
        ("stages.+quantize={kind: prune}", ".method: taylor prunes encoders, and a static student"),
        ("stages.quantize.method=dynamic", ": dynamic is for encoders; write table, or leave it o"),
        ("stages.quantize.weight_bits=8", ": a table has no products in int8; leave it out"),
        ("stages.export.formats=[onnx]", ": 'onnx' is for encoders; a static student is exported "),
        ("data.columns.text_pair=source", ": a static student reads single texts; leave it out, o"),
        ("task={kind: ner}", "override: student.kind: a static student gives one output for a tex"),
        ("task={kind: ranking}", "override: student.kind: a static student reads single texts, an"),
        ("task={kind: text}", "override: student.kind: a static student gives one output for a te"),
    ],
    "stsb-vectors": [
        ("data.columns.text_pair=null", ": missing; vectors are scored on pairs of texts: name th"),
        ("teacher.more=[{model: other}]", ": vectors of several teachers point in unlike directio"),
        ("teacher.labels=[a, b]", ": vectors have no labels; leave it out"),
        ("stages.+vectors={kind: augment, copies: 1}", ".kind: 'augment' makes examples for label"),
        ("stages.vectors.objectives=[{kind: logits}]", "[0].kind: logits compares labels, which v"),
        ("task.whitening=400", ": 400 dimensions of vectors that have 384; write 384 or fewer"),
        ("task.keep_projection=1", ": found the number 1, expected true or false"),
    ],
}
#: Settings that break more than one rule.
SEVERAL = {
    "data={source: builtin, path: docstrings}",
    "data.columns.text_pair=source",
    "task.class_weights={yes: 0}",
    "task.label_smoothing=1",
    "task={kind: ner}",
    "task={kind: ranking}",
    "task={kind: text}",
}


@pytest.mark.parametrize(
    ("over", "setting", "said"),
    [(over, *rule) for over, rules in RULES.items() for rule in rules],
)
def test_rules(write, issues, over, setting, said):
    settings = [setting] if isinstance(setting, str) else setting
    told = issues(over if over not in OVER else write(), *OVER.get(over, ()), *settings)
    place = f"override: {settings[0].partition('=')[0]}"
    assert any(line.startswith((f"{place}{said}", said)) for line in told), told
    assert len(told) == 1 or setting in SEVERAL, told


@pytest.mark.parametrize("over", [over for over in OVER if over != "labels unread"])
def test_they_are_right_as_they_are_and_when_every_default_is_written(write, rewritten, over):
    recipe = load_recipe(write(), *OVER[over])
    assert rewritten(recipe) == recipe


@pytest.mark.parametrize("setting", ["task.class_weights=balanced", "task.label_smoothing=0.1"])
def test_labels_that_are_looked_at_once_may_have_weights(write, setting):
    hard = "stages.prediction.objectives=[{kind: logits, hard_weight: 0.5}]"
    load_recipe(write(), setting, *OVER["labels unread"], hard)
    load_recipe(write(), setting, "teacher.finetune=null")


def test_a_text_recipe_has_no_baseline(write):
    recipe = load_recipe(write(), *OVER["text"], "stages.distill.objectives.+={kind: mlm}")
    assert [stage.name for stage in plan_stages(recipe)] == ["teacher", "distill"]


def test_files_and_patterns_that_are_not_there(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(write(), *OVER["text"], "data.train=[a.txt, 'x*.txt', sub]")
    (tmp_path / "a.txt").write_text("a")
    told = [message for loc, message in missing_inputs(recipe) if loc[0] == "data"]
    assert told == ["no such file: x*.txt", "no such file: sub"]
    (tmp_path / "x1.txt").write_text("a")
    (tmp_path / "sub").mkdir()
    assert not [message for loc, message in missing_inputs(recipe) if loc[0] == "data"]


def test_a_file_in_place_of_a_teacher(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(write(), *OVER["targets"])
    assert recipe.teacher.all == []
    assert recipe.source.model == "minilm-l6"
    assert missing_inputs(recipe) == [(("teacher", "targets"), "no such file: t.jsonl")]
    assert anchored(recipe).teacher.targets == str(tmp_path / "t.jsonl")
    split = load_recipe(write(), *OVER["targets"], "teacher.targets={train: a.csv, test: b.npy}")
    assert split.teacher.files == {"train": "a.csv", "test": "b.npy"}
    assert anchored(split).teacher.files["test"] == str(tmp_path / "b.npy")
    where = [loc for loc, _ in missing_inputs(split)]
    assert where == [("teacher", "targets", "train"), ("teacher", "targets", "test")]


def make_run(folder, *, done, stages=({"kind": "distill", "name": "general"},)):
    model = folder / "02-general" / "model"
    model.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(json.dumps({"recipe": 1, "stages": stages}), "utf-8")
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
    (told,) = issues(write(), f"student.init={begun}")
    assert "student.init" in told
    assert "is not done: distill resume" in told
    none = make_run(tmp_path / "none", done=True, stages=[{"kind": "evaluate", "name": "e"}])
    with pytest.raises(ModelError, match="a run that makes no student"):
        model_of_run(none)


def test_stages_of_a_static_student_are_by_default_what_it_can_have(write):
    stages = load_recipe(write(), *OVER["static"]).stages
    assert (stages[1].method, stages[2].formats) == ("table", ["numpy"])


def test_static_vectors_have_no_head_and_are_means(write, issues):
    vectors = (*OVER["static"][1:], *VECTORS)
    load_recipe(write(), *vectors)
    for setting, said in (
        ("student.head_size=8", "sentence vectors have no head"),
        ("task.pooling=cls", "the mean of its tokens'; write mean"),
        ("task.whitening=65", "65 dimensions of vectors that have 64"),
    ):
        assert said in issues(write(), *vectors, setting)[0]


@pytest.mark.parametrize(("head", "own"), [("null", 65 * 3), (10, 65 * 10 + 11 * 3)])
def test_the_plan_counts_the_table_and_the_head(write, head, own):
    recipe = load_recipe(write(), *OVER["static"], f"student.head_size={head}")
    student = make_plan(recipe)["models"][1]
    assert student["parameters"] == 30522 * 64 + own
    assert student["parameters_no_embeddings"] == own


def test_whitening_needs_a_bundle_and_goes_by_the_width_that_is_left(issues):
    left_out = [f"stages.{name}=null" for name in ("quantize", "export", "evaluate")]
    assert "the bundle holds it" in issues("stsb-vectors", "task.whitening=8", *left_out)[0]
    assert load_recipe("stsb-vectors", "task.whitening=8").task.kind == "vectors"
    narrow = "stages.+quantize={kind: prune, name: narrow, hidden: 0.5}"
    told = issues("stsb-vectors", narrow, "task.whitening=256")
    assert "256 dimensions of vectors that have 192" in told[0]


def test_a_projection_that_is_kept(issues):
    keep = "task.keep_projection=true"
    assert load_recipe("stsb-vectors", keep, "task.matryoshka=[400]").task.keep_projection
    for settings, said in (
        (["task.whitening=8"], "whitening turns vectors out of the teacher's space"),
        (["stages.vectors.objectives=[{kind: similarity}]"], "only the objective `vector` brings"),
        (["student={kind: static, dim: 384}", "stages.intermediate=null"], "make student.dim as"),
    ):
        told = "\n".join(issues("stsb-vectors", keep, *settings))
        assert "task.keep_projection: " in told
        assert said in told


@pytest.mark.parametrize("max_length", [32, 64, 128, 384, 512])
def test_windows_are_as_long_as_the_runtime_makes_them(max_length):
    limits = Limits.of(max_length)
    found = QuestionTask(kind="qa").window_lengths(max_length)
    assert found == (limits.stride, limits.max_question)
    found = QuestionTask(kind="qa", stride=3, max_question_length=5).window_lengths(max_length)
    assert found == (3, 5)
