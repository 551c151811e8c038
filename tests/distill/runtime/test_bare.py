"""A bundle predicts where nothing is installed but what the runtime needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import importlib.util
for name in ("torch", "transformers", "lightning", "onnx", "pydantic", "psutil", "safetensors"):
    assert importlib.util.find_spec(name) is None, name
from distill.runtime import load
from distill.runtime.tuning import stand_ins
model = load(sys.argv[2])
print(json.dumps([model.format, model.predict(["a good film", "bad"], instances=2)]))
"""


@pytest.mark.slow
def test_a_bare_environment_is_enough(bundle, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt"]
    done = subprocess.run(
        [*install, "numpy", "tokenizers", "onnxruntime"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no package registry: {done.stderr.strip().splitlines()[-1]}")
    # tokenizers brings huggingface-hub with it; nothing of ours may lean on more.
    folder = bundle()
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", SCRIPT, ROOT, folder], capture_output=True, text=True, env=plain
    )
    assert done.returncode == 0, done.stderr
    format, predictions = json.loads(done.stdout)
    assert format == "onnx-int8"
    assert {p["label"] for p in predictions} <= {"bad", "fair", "good"}
