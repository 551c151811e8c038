"""`ls`, `show`, `validate`, `schema` and `plan`: what they say, and that they stay light."""

import json
import subprocess
import sys

import pytest
import yaml

from distill.cli.main import COMMANDS, main
from distill.recipe.loader import load_recipe

HEAVY = ("torch", "transformers", "lightning", "nni", "datasets", "wandb", "onnxruntime", "numpy")
SST2 = ["teacher.model=minilm-l6", "student.size=3x384"]


def out_of(capsys, *words):
    assert main(words) == 0
    return capsys.readouterr().out


LIGHT = (
    ["--help"],
    ["ls"],
    ["show", "quickstart"],
    ["validate", "sst2"],
    ["schema"],
    ["plan", "sst2", *SST2],
    ["run", "--help"],
    ["predict", "--help"],
    ["run", "no-such-recipe"],
)


def test_nothing_heavy_is_imported(tmp_path):
    code = f"""if True:
        import sys; from distill.cli.main import main
        found = []
        for words in {LIGHT!r}:
            main(words)
            found += [(words, name) for name in {HEAVY!r} if name in sys.modules]
        print(found, file=sys.stderr)"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_in_its_help(name, capsys):
    out = out_of(capsys, name, "--help")
    assert f"  distill {name}" in out.partition("Example")[2] or f"distill {name} " in out
    assert "Args:" not in out


def test_ls(capsys):
    out = out_of(capsys, "ls")
    assert out.splitlines()[0].split() == ["name", "task", "student", "description"]
    assert "quickstart" in out
    assert out.splitlines()[-1] == "next: distill show quickstart"
    rows = json.loads(out_of(capsys, "ls", "--json"))
    sst2 = next(row for row in rows if row["name"] == "sst2")
    assert sst2["task"] == "classification"  # comes from its base
    assert sst2["teacher"] == "google-bert/bert-base-uncased"


def test_show_prints_a_recipe_again(capsys, tmp_path):
    out = out_of(capsys, "show", "sst2", "student.size=2x384")
    path = tmp_path / "mine.yaml"
    path.write_text(out)
    assert load_recipe(path) == load_recipe("sst2", "student.size=2x384")
    assert out.splitlines()[-1] == "# next: distill plan sst2 student.size=2x384"
    shown = json.loads(out_of(capsys, "show", "sst2", "--json"))
    assert shown == yaml.safe_load(out_of(capsys, "show", "sst2"))


def test_validate(capsys, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("sentence,label\n")
    words = ["sst2", "data.source=files", f"data.train={rows}"]
    out = out_of(capsys, "validate", *words)
    assert out.splitlines()[0] == "sst2: no errors"
    assert out.splitlines()[1].startswith("next: distill plan sst2 ")


def test_validate_tells_every_issue(capsys, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("base: quickstart\nsede: 1\nstudent: {size: 5x384}\n")
    assert main(["validate", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: {path}:2: sede: unknown key; did you mean 'seed'?\n"
    path.write_text("base: quickstart\nseed: 1\nstudent: {size: 5x384}\n")
    assert main(["validate", str(path), "--json"]) == 2
    (issue,) = json.loads(capsys.readouterr().out)
    assert issue["file"].endswith("quickstart.yaml")
    assert issue["where"] == "stages[0].layer_map"
    assert "depths that work: 1, 2, 3, 6" in issue["message"]


def test_validate_looks_for_files(capsys):
    assert (
        main(["validate", "sst2", "data.source=files", "data.train=/no/pe.csv", "data.test=x"]) == 2
    )
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "error: override: data.train: no such file: /no/pe.csv"
    assert err[1] == "error: override: data.test: no such file: x"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", ": the file is empty"),
        (b"# only words\n\n", ": the file is empty"),
        (b"- a\n- b\n", ":1: found a list, expected keys"),
        (b"hello\n", ":1: found a single value, expected keys"),
        (b"a: 1\nb: caf\xe9\n", ":2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("a: 1\n".encode("utf-16"), ":1: byte 0xff is not UTF-8"),
        (b"a: [\n", "not valid YAML"),
    ],
)
def test_files_that_are_no_recipe(capsys, tmp_path, raw, said):
    path = tmp_path / "a.yaml"
    path.write_bytes(raw)
    for command in ("show", "validate", "plan", "run") if raw == b"" else ("validate",):
        assert main([command, str(path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"error: {path}")
        assert said in err
        assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [path]


def test_schema_describes_every_field(capsys):
    schema = json.loads(out_of(capsys, "schema"))
    parts = [part for part in schema["$defs"].values() if "properties" in part]
    fields = [(part["title"], *item) for part in parts for item in part["properties"].items()]
    assert {"Recipe", "DistillStage", "EvaluateStage"} <= {title for title, _, _ in fields}
    untold = [
        f"{title}.{name}"
        for title, name, field in fields
        if "description" not in field and name != "kind"
    ]
    assert untold == []


def test_plan_draws_stages_map_and_models(capsys):
    lines = out_of(capsys, "plan", "quickstart").splitlines()
    assert lines[0].startswith("quickstart: ")
    assert " ".join(line.split()[0] for line in lines[3:11]) == (
        "01-teacher 02-baseline 03-intermediate 04-prediction "
        "05-prune 06-quantize 07-export 08-evaluate"
    )
    start = next(n for n, line in enumerate(lines) if line.startswith("layer map"))
    assert lines[start : start + 9] == [
        "layer map of intermediate (uniform; matches embedding, attention, hidden)",
        "  teacher               student",
        "  layer 6     ────────> layer 3",
        "  layer 5",
        "  layer 4     ────────> layer 2",
        "  layer 3",
        "  layer 2     ────────> layer 1",
        "  layer 1",
        "  embedding   ────────> embedding",
    ]
    models = {line.split()[0]: line.split() for line in lines[start + 10 : start + 14]}
    assert models["teacher"][1:5] == ["6x384", "12", "1536", "22.71"]
    assert models["student"][1:5] == ["3x384", "12", "1536", "17.39"]
    assert models["prune"][1:4] == ["3x384", "8", "614"]
    assert not any(line.startswith("training: ") for line in lines)  # nothing was measured
    assert lines[-1] == "next: distill run quickstart"


def test_plan_as_json(capsys):
    plan = json.loads(out_of(capsys, "plan", "sst2", "--json"))
    assert plan["layer_maps"][0]["pairs"] == [[1, 3], [2, 6], [3, 9], [4, 12]]
    assert plan["models"][0]["parameters"] == 109_483_778  # BERT-base with two labels
    assert "measured" not in plan
    assert plan["notes"][0].startswith("student: it keeps 312 of the teacher's 768 dimensions")


def test_plan_says_so_where_a_start_is_bad_and_only_there(capsys):
    assert "it keeps 312 of the teacher's 768" in out_of(capsys, "plan", "sst2")
    for setting in ("student.init=random", "teacher.model=minilm-l6"):
        changed = [setting, "stages.intermediate.layer_map=last"]
        assert "it keeps" not in out_of(capsys, "plan", "sst2", *changed)


def test_plan_of_pairs_names_layers_that_learn_nothing(capsys):
    override = "stages.intermediate.layer_map=[[3, 6], [1, 2]]"
    out = out_of(capsys, "plan", "quickstart", override)
    assert "  layer 6     ────────> layer 3\n" in out
    assert "  not matched: student layer 2\n" in out
    assert out.splitlines()[-1] == f"next: distill run quickstart '{override}'"


@pytest.mark.parametrize(
    ("kind", "taught"),
    [("last", "456"), ("skip", "135"), ("[[2, 5]]", "5")],
)
def test_plan_draws_every_kind_of_map(capsys, kind, taught):
    out = out_of(capsys, "plan", "quickstart", f"stages.intermediate.layer_map={kind}")
    arrows = [line.split()[1] for line in out.splitlines() if "> layer" in line]
    assert arrows == list(reversed(taught))


def test_plan_draws_what_a_search_tries(capsys):
    override = "stages.intermediate.layer_map=search"
    out = out_of(capsys, "plan", "quickstart", override)
    assert "try all layer maps for 2x100 steps each; match embedding" in out
    for kind in ("uniform", "first", "last", "skip"):
        assert f"layer map of intermediate (search, candidate {kind}; matches" in out


def test_plan_of_an_unknown_teacher_says_what_is_not_known(capsys):
    out = out_of(capsys, "plan", "sst2", "teacher.model=some/one")
    assert "the shape of some/one is known once it is downloaded" in out
    assert "01-teacher" in out


def test_plan_on_a_terminal_without_utf8():
    done = subprocess.run(
        [sys.executable, "-m", "distill.cli.main", "plan", "quickstart"],
        capture_output=True,
        check=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )
    assert b"next: distill run quickstart" in done.stdout


def test_plan_of_prune_stages_of_every_kind(capsys):
    stages = [
        "{kind: distill, name: first, objectives: [{kind: logits}]}",
        "{kind: prune, method: fisher, budget: {macs: 0.5}, schedule: agp, steps: 2}",
        "{kind: prune, name: shallow, method: depth, layers: 1}",
        "{kind: distill, name: again, layer_map: first, objectives: [{kind: hidden}]}",
        "{kind: prune, name: words, method: vocabulary}",
    ]
    out = out_of(capsys, "plan", "quickstart", f"stages=[{', '.join(stages)}]")
    assert "fisher: keep 50% of the encoder's MACs in 2 rounds; recover: 1 epoch" in out
    assert "remove 1 of the layers; recover: 1 epoch" in out
    assert "keep the subwords that the training texts have\n" in out
    after = out[out.index("layer map of again") :]
    assert "> layer 2\n" in after
    assert "> layer 3\n" not in after
    models = {line.split()[0]: line.split() for line in out.splitlines() if "x384" in line}
    assert models["shallow"][1] == "2x384"
