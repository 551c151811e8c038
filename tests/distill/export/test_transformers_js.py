"""transformers.js reads a bundle as it lies, and answers as the runtime does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from distill.runtime import load

#: A folder with node_modules/@huggingface/transformers.
NODE = "DISTILL_NODE"
TEXTS = ["a good film", "nothing here is any good", "good"]
SCRIPT = """
import { pipeline, env } from '@huggingface/transformers';
env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
const answers = {};
for (const dtype of ['fp32', 'q8']) {
  const classify = await pipeline('text-classification', process.argv[4], { dtype });
  answers[dtype] = await classify(JSON.parse(process.argv[3]), { top_k: null });
}
console.log(JSON.stringify(answers));
"""


@pytest.mark.slow
def test_node_answers_as_the_runtime(bundle, tmp_path):
    folder = os.environ.get(NODE)
    if folder is None or shutil.which("node") is None:
        pytest.skip(
            f"needs node, and {NODE}: a folder where @huggingface/transformers is installed"
        )
    made = bundle()
    script = tmp_path / "answer.mjs"
    script.write_text(SCRIPT, "utf-8")
    (tmp_path / "node_modules").symlink_to(f"{folder}/node_modules")
    done = subprocess.run(
        ["node", "--preserve-symlinks", script, f"{made.parent}/", json.dumps(TEXTS), made.name],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    for dtype, format in (("fp32", "onnx"), ("q8", "onnx-int8")):
        ours = load(made, format=format).predict(TEXTS)
        for theirs, own in zip(answers[dtype], ours, strict=True):
            found = {one["label"]: one["score"] for one in theirs}
            assert found == pytest.approx(own["probabilities"], abs=1e-5)
