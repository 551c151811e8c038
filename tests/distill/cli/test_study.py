"""`study`: what is planned, and what is refused; the running is tested with the pipeline."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from distill.cli.main import main
from distill.recipe.study import load_study

DOCS = Path(__file__).resolve().parents[3] / "docs" / "study.md"
BASE = """\
recipe: 1
name: base
task: {kind: classification, labels: [no, yes]}
data: {source: files}
teacher: {model: minilm-l6, finetune: {epochs: 2}}
student: {size: 3x384}
baseline: false
stages:
  - {kind: distill, name: intermediate, objectives: [{kind: attention}, {kind: hidden}]}
  - {kind: distill, name: prediction, objectives: [{kind: logits}]}
"""


@pytest.fixture
def documented(tmp_path):
    """The study file of the documentation, with a recipe, rows and a folder for data."""
    text = DOCS.read_text("utf-8").partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(text)["name"] == "parts"
    (tmp_path / "base.yaml").write_text(BASE, "utf-8")
    for name in ("rows", "held_out"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "a", "label": "no"}\n', "utf-8")
    path = tmp_path / "parts.yaml"
    path.write_text(text, "utf-8")
    return path


def test_the_documented_file_is_planned(documented, capsys):
    words = [str(documented), f"folders.data={documented.parent}"]
    assert main(["plan", *words]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len([line for line in out if ", mine, seed" in line]) == 6 * 3
    assert out[1].split("  ")[0] == "full, mine, seed 1"
    assert out[1].endswith("teacher, intermediate, prediction")
    assert out[-3].startswith("skipped: general: the folder 'general' is not given: folders.gen")
    assert out[-2] == "18 trials; stages that several of them share are done once"
    assert out[-1] == f"next: distill study {documented} folders.data={documented.parent}"
    assert main(["plan", *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trials"][1] == {
        "variant": "teacher", "task": "mine", "seed": 1, "stages": ["teacher"],
    }  # fmt: skip
    assert main(["validate", *words]) == 0
    capsys.readouterr()
    assert main(["show", *words, "seed=1"]) == 0
    recipes = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [recipe["name"] for recipe in recipes][:2] == ["parts-mine-full", "parts-mine-teacher"]
    assert recipes[0]["data"]["train"] == f"{documented.parent}/rows.jsonl"


def test_the_python_of_the_documentation(documented):
    text = DOCS.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    compile(text, str(DOCS), "exec")
    loaded = load_study(documented, f"folders.data={documented.parent}")
    recipes = {trial.variant: trial.recipe for trial in loaded.trials if trial.seed == 2}
    assert [s.name for s in recipes["without-intermediate"].stages] == ["prediction"]
    assert recipes["full"].data.train == f"{documented.parent}/rows.jsonl"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [],
            "error: {path}:14: tasks.mine.set.data.train: the folder 'data' is not given: fold",
        ),
        (["folders.data=/none"], "error: override: folders.data: no such folder: /none"),
        (
            ["folders.data={folder}", "--only", "ful"],
            "error: --only: 'ful' is not known; there are: fu",
        ),
        (
            ["folders.data={folder}", "--task", "all"],
            "error: --task: 'all' is not known; there are: mi",
        ),
        (
            ["folders.data={folder}", "stages.predict.lr=1"],
            "error: override: stages.predict.lr: nothi",
        ),
    ],
)
def test_what_is_refused(documented, capsys, words, said):
    places = {"path": documented, "folder": documented.parent}
    given = [word.format(**places) for word in words]
    assert main(["study", str(documented), "--run-dir", f"{documented.parent}/out", *given]) == 2
    assert capsys.readouterr().err.startswith(said.format(**places))
    assert not (documented.parent / "out").exists()


@pytest.mark.parametrize("command", ["plan", "validate", "show"])
def test_looking_at_a_study_loads_nothing_heavy(documented, command):
    words = [command, str(documented), f"folders.data={documented.parent}"]
    code = (
        "import sys; from distill.cli.main import main\n"
        f"main({words!r})\n"
        "print([n for n in ('torch', 'transformers', 'lightning') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
