"""`ablate`: what it plans, and what it refuses; the running is tested with the pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from distill.cli.main import main
from distill.recipe.ablation import load_ablation

Capture = pytest.CaptureFixture[str]
DOCS = Path(__file__).resolve().parents[3] / "docs" / "ablate.md"
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
def documented(tmp_path: Path) -> Path:
    """The ablation file of the documentation, with a recipe, rows and a folder for data."""
    text = DOCS.read_text("utf-8").partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(text)["name"] == "parts"
    (tmp_path / "base.yaml").write_text(BASE, "utf-8")
    (tmp_path / "rows.jsonl").write_text('{"text": "some words", "label": "no"}\n' * 100, "utf-8")
    path = tmp_path / "parts.yaml"
    path.write_text(text, "utf-8")
    return path


def test_the_documented_file_is_planned(documented: Path, capsys: Capture) -> None:
    words = ["ablate", str(documented), "--data", str(documented.parent), "--plan"]
    assert main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert len([line for line in out if line.startswith("mine")]) == 6 * 3
    assert out[0].split()[:4] == ["mine", "seed", "1", "full"]
    assert out[0].endswith("teacher, intermediate, prediction")
    assert out[-2].startswith("skipped: general: the folder 'general' is not given: --folder gen")
    assert out[-1] == "18 cells"
    assert main([*words, "--json", "--only", "full, map-last"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [cell["variant"] for cell in told["cells"]] == ["full", "map-last"] * 3


def test_the_python_of_the_documentation(documented: Path) -> None:
    text = DOCS.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    compile(text, str(DOCS), "exec")
    loaded = load_ablation(documented, folders={"data": str(documented.parent)})
    recipes = {cell.variant: cell.recipe for cell in loaded.cells if cell.seed == 2}
    assert [s.name for s in recipes["without-intermediate"].stages] == ["prediction"]
    assert recipes["full"].data.train == f"{documented.parent}/rows.jsonl"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "error: {path}:13: tasks.mine.set.data.train: the folder 'data' is not given: --fold"),
        (["--data", "{folder}/none"], "error: --folder data={folder}/none: there is no such folde"),
        (["--folder", "data"], "error: --folder data: not NAME=DIR, such as data=glue"),
        (
            ["--data", "{folder}", "--only", "ful"],
            "error: --only: 'ful' is not known; there are: fu",
        ),
        (
            ["--data", "{folder}", "--task", "all"],
            "error: --task: 'all' is not known; there are: mi",
        ),
        (
            ["--data", "{folder}", "stages.predict.lr=1"],
            "error: override: stages.predict.lr: nothi",
        ),
    ],
)
def test_what_is_refused(documented: Path, capsys: Capture, words: list[str], said: str) -> None:
    places = {"path": documented, "folder": documented.parent}
    given = [word.format(**places) for word in words]
    assert main(["ablate", str(documented), "--plan", *given]) == 2
    assert capsys.readouterr().err.startswith(said.format(**places))


def test_planning_loads_nothing_heavy(documented: Path) -> None:
    words = ["ablate", str(documented), "--data", str(documented.parent), "--plan"]
    code = (
        "import sys; from distill.cli.main import main\n"
        f"main({words!r})\n"
        "print([n for n in ('torch', 'transformers', 'lightning') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
