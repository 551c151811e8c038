"""A run folder with a teacher, and students of it, without anything trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

RECIPE = """\
recipe: 1
name: tiny
task: {{kind: classification, labels: [negative, positive]}}
data:
  source: files
  train: nowhere.jsonl
  columns: {{text: text, label: label{pair}}}
  max_length: 16
teacher: {{model: nowhere}}
student: {{size: 2x32/2/64}}
baseline: false
stages:
- {{kind: distill, name: match, objectives: [{{kind: attention}}], layer_map: uniform}}
{more}"""


@pytest.fixture(scope="session")
def tiny_run(tiny_bert, tmp_path_factory):
    """A factory: a run of a 4-layer teacher and a 2-layer student matched with layers 2 and 4.

    ``tiny_run(pair=False, more="", last=None)``: ``more`` are further stages in YAML, ``last`` a
    folder's name and what its ``stage.json`` says, with a student's folder.
    """

    def build(*, pair: bool = False, more: str = "", last=None) -> Path:
        run = tmp_path_factory.mktemp("run")
        column = ", text_pair: other" if pair else ""
        (run / "recipe.yaml").write_text(RECIPE.format(pair=column, more=more), "utf-8")
        stages = [
            ("01-teacher", {"kind": "teacher"}, tiny_bert(layers=4, seed=1)),
            ("02-match", {"kind": "distill", "layer_map": [[1, 2], [2, 4]]}, tiny_bert(seed=2)),
            *([last] if last else []),
        ]
        for name, facts, model in stages:
            shutil.copytree(model, run / name / "model")
            (run / name / "stage.json").write_text(json.dumps(facts), "utf-8")
            (run / name / "done.json").write_text('{"inputs": "", "outputs": {}}', "utf-8")
        return run

    return build
