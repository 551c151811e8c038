import importlib.util
import json

import pytest

from distill.recipe.checks import student_size
from distill.recipe.loader import load_recipe


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.path=docs", ": found 'docs'; the built-in data sets are: docsearch, docstrings, ro"),
        ("data.path=null", ": missing; the built-in data sets are: docsearch, docstrings, rotten_"),
        ("trainer.strategy=fsdp", ": fsdp shares a model among processes, and here is one; set tr"),
        ("data={source: hub}", ".path: missing; 'hub' needs a data set's name, such as nyu-mll/gl"),
        ("data={source: files}", ".train: missing; 'files' needs the path of the training example"),
        ("data.columns.text=name", ": 'docstrings' has no column 'name'; its columns are text, la"),
        ("data.columns={label: text}", ".label: 'text' is the column of 'text' too; they differ"),
        ("data.columns={text_pair: text}", ".text_pair: 'text' is the column of 'text' too; they "),
        (
            "task={kind: classification, labels: [a, b, c], metric: f1}",
            ".metric: f1 is of two labels and there are 3; take macro_f1 or accuracy",
        ),
        ("teacher.labels=[no, yes]", ": only for a teacher that is used as it is; leave it or `fi"),
        ("teacher={model: x/y, labels: [a, b]}", ".labels: found a, b; the task's labels are no, "),
        ("stages.prediction.name=intermediate", ": 'intermediate' is the name of stages[0] too; g"),
        ("stages.prediction.name=baseline", ": 'baseline' is taken; choose another name"),
        ("stages.prediction.name=onnx-int8", ": 'onnx-int8' is taken; choose another name"),
        ("student.size=tinybert5", ": unknown student size 'tinybert5'; did you mean 'tinybert6'?"),
        ("student.size=3x384/7", ": student size '3x384/7': 7 heads do not divide the width 384; "),
        ("student.size=3x768/12/1536", ": the student is 768 wide and the teacher 384: its layers"),
        ("student.size=3x384/12/2000", ": the student is 2000 wide in the feed-forward block and "),
        ("student.init_layers=[1, 2]", ": names 2 layers and the student has 3"),
        ("student.init_layers=[1, 2, 7]", ": there is no teacher layer 7; they are 1 to 6"),
        ("student.init=teacher-layer", ": found 'teacher-layer'; did you mean 'teacher-layers'?"),
        ("stages.intermediate.layer_map=[[4, 1]]", "[0]: there is no student layer 4; they are 1 "),
        ("stages.intermediate.layer_map=[[1, 7]]", "[0]: there is no teacher layer 7; they are 1 "),
        ("stages.intermediate.layer_map=[[1, 1], [1, 2]]", "[1]: student layer 1 stands in the ma"),
        ("stages.intermediate.search={steps: 5}", ": only with `layer_map: search`; leave one out"),
        ("stages.prediction.layer_map=search", ": nothing to search: no objective of this stage m"),
        ("stages.intermediate.layer_map=search", ""),
        ("data.max_length=512", ""),
        ("stages.evaluate.lengths=[1024]", ": teacher and student read at most 512 tokens"),
        ("teacher.finetune.freeze_layers=7", ": the teacher has only 6 layers"),
        ("stages.prediction.objectives.+={kind: mlm}", ".kind: mlm needs text in which tokens are"),
        ("stages.prediction.objectives.+={kind: similarity}", ".kind: similarity compares sentenc"),
        ("stages.export.formats=[onnx-int8]", ": 'onnx-int8' needs a 'quantize' stage before"),
    ],
)
def test_rules(write, issues, override, said):
    if not said:
        load_recipe(write(), override)
        return
    (told,) = issues(write(), override)
    assert told.startswith(f"override: {override.partition('=')[0]}{said}")


def test_a_uniform_map_says_which_depths_work(write, issues):
    told = issues(write(("size: 3x384", "size: 4x384")))
    assert told == [
        "small.yaml:12: stages[0].layer_map: uniform needs the teacher's depth (6) to be a "
        "multiple of the student's (4); depths that work: 1, 2, 3, 6; or take first, last, skip "
        "or pairs"
    ]
    load_recipe(write(("size: 3x384", "size: 4x384")), "stages.intermediate.layer_map=skip")
    load_recipe(
        write(("size: 3x384", "size: 4x384")),
        "stages.intermediate.objectives=[{kind: embedding}]",
    )


def test_candidates_of_a_search_are_checked_one_by_one(write, issues):
    search = "stages.intermediate.search={candidates: [first, uniform, [[5, 1], [2, 7]], skip]}"
    told = issues(write(), "student.size=4x384", "stages.intermediate.layer_map=search", search)
    assert [line.partition("candidates")[2][:40] for line in told] == [
        "[2][0]: there is no student layer 5; the",
        "[2][1]: there is no teacher layer 7; the",
        "[1]: uniform needs the teacher's depth (",
    ]
    told = issues(
        write(), "student.size=8x384", "student.init=random", "stages.intermediate.layer_map=search"
    )
    assert "the student has 8 layers and the teacher only 6" in told[0]


def test_attention_needs_the_same_number_of_heads(write, issues):
    told = issues(write(), "student.size=3x256")
    assert told == [
        "small.yaml:14: stages[0].objectives[0]: attention is matched head by head: the student "
        "has 4 heads and the teacher 12; write student.size: 3x252/12, or take "
        "relations instead, which match any heads"
    ]
    load_recipe(write(), "student.size=3x252/12")
    load_recipe(write(), "student.size=3x256", "stages.intermediate.objectives=[{kind: hidden}]")


def test_reference_takes_what_the_published_code_has(write, issues):
    mode = "stages.intermediate.mode=reference"
    told = issues(write(), mode, "stages.intermediate.projection=per_layer")
    keys = [line.split(": ")[1] for line in told]
    assert keys == ["stages.intermediate.projection", "stages[0].objectives[1].weight"]
    objectives = (
        "stages.intermediate.objectives=[{kind: attention, on: probabilities}, {kind: relations}, "
        "{kind: logits, loss: kl, hard_weight: 0.5}]"
    )
    told = issues(write(), mode, objectives)
    keys = [line.split(": ")[1].rsplit(".", 1)[1] for line in told]
    assert keys == ["on", "kind", "loss", "hard_weight"]
    assert "the reference matches embedding, attention, hidden, logits alone" in told[1]
    plain = "stages.intermediate.objectives=[{kind: embedding}, {kind: attention}, {kind: hidden}]"
    assert load_recipe(write(), mode, plain).stages[0].mode == "reference"


@pytest.mark.parametrize("kind", ["decoupled", "standardized"])
def test_two_classes_are_refused_where_they_say_nothing(write, issues, kind):
    objectives = f"stages.prediction.objectives=[{{kind: {kind}}}]"
    (told,) = issues(write(), objectives)
    assert f"{kind} needs three classes or more, and the task has 2: " in told
    assert "take logits" in told
    load_recipe(write(), objectives, "task.labels=[a, b, c]")
    load_recipe(write(), objectives, "task.labels=null")


def test_a_weight_may_move(write, issues, rewritten):
    def weight(text: str) -> str:
        return f"stages.intermediate.objectives.hidden.weight={{{text}}}"

    recipe = load_recipe(write(), weight("from: 0, to: 1.5, end: 0.5"))
    moving = recipe.stages[0].objectives[1].weight
    assert [moving.at(share) for share in (0, 0.25, 0.5, 1)] == [0, 0.75, 1.5, 1.5]
    assert rewritten(recipe) == recipe
    for text, said in (
        ("from: 0, to: 1, start: 0.5, end: 0.5", "start comes before end"),
        ("from: 1, to: 1", "from and to are the same; write one number"),
        ("from: 0", "weight.to: missing"),
        ("from: -1, to: 1", "weight.from: found"),
    ):
        told = issues(write(), weight(text))
        assert len(told) == 1
        assert said in told[0]


def test_relations_take_any_heads_that_divide_both_widths(write, issues):
    relations = "stages.intermediate.objectives=[{kind: relations}]"
    load_recipe(write(), relations, "student.size=3x256")
    stated = "stages.intermediate.objectives=[{kind: relations, relation_heads: 48, layer: [4, 9]}]"
    told = issues(write(), stated, "student.size=3x256")
    assert [line.split(".", 3)[-1] for line in told] == [
        "layer: there is no student layer 4; they are 1 to 3",
        "layer: there is no teacher layer 9; they are 1 to 6",
        "relation_heads: 48 does not divide both widths, 256 of the student and 384 of the "
        "teacher; write 32, or leave it out",
    ]
    # A stated pair of layers needs no layer map, which could not be uniform here.
    layer = "stages.intermediate.objectives=[{kind: relations, layer: [4, 5]}]"
    load_recipe(write(("size: 3x384", "size: 4x384")), layer)
    assert "uniform" in issues(write(("size: 3x384", "size: 4x384")), relations)[0]


def test_relations_after_pruned_heads_are_cut_within_a_head(write, issues):
    before = "  - kind: distill\n    name: prediction"
    path = write((before, "  - {kind: prune, heads: 0.33}\n" + before))
    objectives = "stages.prediction.objectives=[{kind: relations}]"
    load_recipe(path, objectives)
    told = issues(path, objectives.replace("}", ", relation_heads: 12}"))
    assert "write 8, or leave it out" in told[0]
    assert "as heads were pruned before" in told[0]
    load_recipe(path, objectives.replace("}", ", relation_heads: 16}"))


def test_attention_after_pruned_heads(write, issues):
    before = "  - kind: distill\n    name: prediction"
    path = write((before, "  - {kind: prune, heads: 0.33}\n" + before), ("logits", "attention"))
    assert len(issues(path)) == 1
    assert "heads were pruned before" in issues(path)[0]
    assert load_recipe(path, "stages.prune.heads=0").stages[1].name == "prune"


@pytest.mark.parametrize(
    ("kinds", "wrong"),
    [
        ("distill distill prune distill quantize export evaluate", []),
        ("distill prune prune export", []),
        ("distill", []),
        ("evaluate", []),
        ("prune distill", ["stages[0].kind"]),
        ("quantize distill", ["stages[0].kind", "stages[1].kind"]),
        ("distill quantize prune", ["stages[2].kind"]),
        ("distill export quantize", ["stages[2].kind"]),
        ("distill export distill", ["stages[2].kind"]),
        ("augment distill augment distill", []),
        ("distill augment prune", []),
        ("distill augment", ["stages[1].kind"]),
        ("distill quantize augment", ["stages[2].kind"]),
        ("distill evaluate export", ["stages[2].kind"]),
        ("distill evaluate evaluate", ["stages[2].kind"]),
        ("distill quantize quantize export export", ["stages[2].kind", "stages[4].kind"]),
    ],
)
def test_order_of_stages(write, kinds, wrong, issues):
    stages = [
        f"  - {{kind: {kind}, name: s{n}"
        + (", objectives: [{kind: logits}]}" if kind == "distill" else "}")
        for n, kind in enumerate(kinds.split())
    ]
    text = "\n".join(["", *stages, ""])
    path = write()
    path.write_text(path.read_text().partition("stages:")[0] + "stages:" + text)
    if wrong:
        assert [line.split(": ")[1] for line in issues(path)] == wrong
    else:
        load_recipe(path)


def folder(path, **changes):
    path.mkdir()
    config = {
        "num_hidden_layers": 4,
        "hidden_size": 48,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "vocab_size": 100,
        "max_position_embeddings": 64,
    }
    (path / "config.json").write_text(json.dumps(config | changes))
    return path


def test_a_local_teacher_is_known_by_its_config(write, issues, tmp_path):
    teacher = folder(tmp_path / "teacher")
    path = write(("minilm-l6", str(teacher)), ("size: 3x384", "size: 3x24"))
    told = issues(path, "data.max_length=128")
    assert [line.split(": ", 2)[2] for line in told] == [
        "the teacher reads at most 64 tokens",
        "uniform needs the teacher's depth (4) to be a multiple of the student's (3); depths that "
        "work: 1, 2, 4; or take first, last, skip or pairs",
    ]
    recipe = load_recipe(path, "data.max_length=64", "student.size=2x24")
    assert student_size(recipe).heads == 4


def test_a_student_of_a_teacher_whose_layers_are_not_copied_may_be_deeper(write, issues, tmp_path):
    teacher = folder(tmp_path / "t", model_type="modernbert", max_position_embeddings=8192)
    path = write(("minilm-l6", str(teacher)), ("size: 3x384", "size: 8x48/4/192"))
    logits = "stages.intermediate.objectives=[{kind: logits}]"
    load_recipe(path, logits, "data.max_length=512")
    (told,) = issues(path, logits, "stages.evaluate.lengths=[1024]")
    assert told.endswith("teacher and student read at most 512 tokens")


def test_of_an_unknown_family_only_logits_are_learned(write, issues, tmp_path):
    teacher = folder(tmp_path / "t", model_type="xlm", max_position_embeddings=512)
    path = write(("minilm-l6", str(teacher)), ("3x384", "2x48/4"))
    told, *rest = issues(path)
    assert rest == []
    assert told.startswith(
        "small.yaml:14: stages[0].objectives[0]: attention, hidden: only the logits of this teacher"
    )
    load_recipe(path, "stages.intermediate.objectives=[{kind: logits}]")


def test_a_student_from_a_folder_has_that_folder_s_size(write, issues, tmp_path):
    init = folder(tmp_path / "init", hidden_size=384, num_attention_heads=12)
    told = issues(write(), f"student.init={init}")
    assert told == [
        "override: student.init: the model there is 4x384/12/96 and the student 3x384/12/1536; "
        "write student.size: 4x384/12/96"
    ]


@pytest.mark.parametrize("installed", [True, False])
def test_openvino_must_be_installed_and_exported(write, issues, monkeypatch, installed):
    spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: installed or None if name in ("openvino", "nncf") else spec(name),
    )
    nncf = "- {kind: quantize, method: nncf}\n  - {kind: export}"
    told = issues(write(("- {kind: export}", nncf)))
    expected = "add it to export's formats" if installed else "nncf needs openvino and nncf: pip"
    assert expected in told[0]
    both = "- {kind: quantize, method: nncf}\n  - {kind: export, formats: [onnx, openvino]}"
    if installed:
        load_recipe(write(("- {kind: export}", both)))
    else:
        assert len(issues(write(("- {kind: export}", both)))) == 2
