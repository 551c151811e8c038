"""transformers.js answers from a bundle as the runtime does, in Node and on the demo's page."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from distill.cli.main import main
from distill.export.demo import write_demo
from distill.export.folder import export_folder
from distill.export.transformers_folder import save_transformers
from distill.pruning.masks import Masks
from distill.pruning.surgery import slice_model
from distill.runtime import load
from distill.system.errors import ModelError, UserError

ROOT = Path(__file__).resolve().parents[3]
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


@pytest.fixture
def node():
    """The folder with node_modules/@huggingface/transformers."""
    folder = os.environ.get("DISTILL_NODE")
    if folder is None or shutil.which("node") is None:
        pytest.skip(
            "needs node, and DISTILL_NODE: a folder where @huggingface/transformers is installed"
        )
    return Path(folder)


def pruned_bundle(source, out):
    model = AutoModelForSequenceClassification.from_pretrained(source).eval()
    kept = [torch.arange(2) < 1, torch.zeros(2, dtype=torch.bool)]
    pruned = slice_model(model, Masks(kept, [torch.arange(64) < 7, torch.arange(64) < 5]))
    save_transformers(pruned, AutoTokenizer.from_pretrained(source), out.with_name("pruned"))
    export_folder(out.with_name("pruned"), out, max_length=16)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("pruned", [False, True])
def test_node_answers_as_the_runtime(node, bundle, tiny_bert, tmp_path, pruned):
    made = pruned_bundle(tiny_bert(), tmp_path / "cut") if pruned else bundle()
    script = tmp_path / "answer.mjs"
    script.write_text(SCRIPT, "utf-8")
    (tmp_path / "node_modules").symlink_to(node / "node_modules")
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


@contextmanager
def page(bundle, node):
    """The page of ``distill demo`` in a browser; gives what evaluates JavaScript in it."""
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium")
    spec = importlib.util.spec_from_file_location("browser", ROOT / "benchmarks" / "browser.py")
    browser = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(browser)
    command = [sys.executable, "-m", "distill", "demo", str(bundle), "--port", "0"]
    server = subprocess.Popen([*command, "--node", str(node)], stderr=subprocess.PIPE, text=True)
    try:
        with browser.opened(server.stderr.readline().split()[0]) as ask:
            yield ask
    finally:
        server.terminate()
        server.communicate()


def of_head(folder, auto, labels):
    """A model of a task from a classifier's folder."""
    changes = {"num_labels": len(labels), "problem_type": None}
    model = auto.from_pretrained(folder, ignore_mismatched_sizes=True, **changes)
    model.config.id2label = dict(enumerate(labels))
    model.save_pretrained(folder)
    return folder


LONG = "the good film was long , " * 12
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
#: Of each kind: texts, and the second ones.
PAIRS = ([*TEXTS, LONG, ""], ["a very dull plot", LONG, "", LONG, "the plot"])
ASKED = {
    "classification": PAIRS,
    "multi_label": PAIRS,
    "ranking": ([*TEXTS, LONG], [["bad", LONG, "bad", "a fine plot"], ["dull"], [], ["a", LONG]]),
    "vectors": ([*TEXTS, LONG, ""], None),
    "ner": ([*TEXTS, LONG, "", "What a Film: näive, 東京 (best) 𝒳 e\u0301tage!"], None),
    "qa": (["what was good ?", "who"], [f"{LONG} Näive best actor, 𝒳 here. {LONG}", "a scene"]),
}


@pytest.fixture
def of_kind(bundle, vector_bundle, tiny_bert, tmp_path):
    def make(kind):
        if kind == "classification":
            return bundle(pair=True)
        if kind == "multi_label":  # the labels' logits, read in another way
            made = bundle(pair=True)
            manifest = json.loads((made / "distill.json").read_text())
            manifest |= {"task": kind, "settings": {"thresholds": [0.2, 0.5, 0.6]}}
            (made / "distill.json").write_text(json.dumps(manifest))
            return made
        if kind == "vectors":
            return vector_bundle()
        if kind == "ner":
            folder = of_head(tiny_bert(labels=TAGS), AutoModelForTokenClassification, TAGS)
        elif kind == "ranking":
            folder = of_head(tiny_bert(), AutoModelForSequenceClassification, ("score",))
        else:
            folder = of_head(tiny_bert(), AutoModelForQuestionAnswering, ("start", "end"))
        export_folder(folder, tmp_path / kind, max_length=32, task=kind)
        return tmp_path / kind

    return make


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(ASKED))
def test_the_page_answers_as_the_runtime(node, of_kind, kind):
    made, (texts, pairs) = of_kind(kind), ASKED[kind]
    with page(made, node) as ask:
        assert "ms" in ask("document.getElementById('time').textContent")
        assert ask("document.getElementById('answer').innerText").strip()
        assert ask("document.getElementById('error').hidden")
        # int8 rounds activations: a last digit before it can be a step behind it.
        for format, tolerance in (("onnx", 1e-4), ("onnx-int8", 2e-3)):
            ours = load(made, format=format, threads=1).predict(texts, pairs)
            for own, text, pair in zip(ours, texts, pairs or [None] * len(texts), strict=True):
                pair = "\n".join(pair) if isinstance(pair, list) else pair
                said = ask(f"predict({json.dumps(text)}, {json.dumps(pair)}, '{format}')")
                assert said["ms"] > 0
                if kind == "qa":
                    own.pop("candidates")
                assert_same({name: said["prediction"][name] for name in own}, own, tolerance)


def assert_same(theirs, own, tolerance):
    """The same values, numbers to a tolerance."""
    if isinstance(own, dict):
        assert theirs.keys() == own.keys()
        pairs = [(theirs[name], own[name]) for name in own]
    elif isinstance(own, list):
        pairs = list(zip(theirs, own, strict=True))
    else:
        assert theirs == (pytest.approx(own, abs=tolerance) if isinstance(own, float) else own)
        return
    for one in pairs:
        assert_same(*one, tolerance)


@pytest.fixture
def installed(tmp_path):
    """What npm would leave, without content."""
    for name in (
        "@huggingface/transformers/dist/transformers.min.js",
        "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
        "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
    ):
        path = tmp_path / "npm" / "node_modules" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("// nothing")
    return tmp_path / "npm"


def test_the_page_is_a_folder_of_files(bundle, installed, tmp_path, capsys):
    out = tmp_path / "page"
    words = ["demo", str(bundle()), "--out", str(out)]
    assert main([*words, "--node", str(installed)]) == 0
    assert f"python -m http.server -d {out}" in capsys.readouterr().out
    about = json.loads((out / "about.json").read_text())
    assert about["formats"] == {"onnx-int8": "q8", "onnx": "fp32"}
    assert (out / "model/onnx/model_quantized.onnx").is_file()
    assert (out / "transformers.mjs").read_text() == "// nothing"
    assert "http" not in (out / "index.html").read_text()
    assert main([*words, "--cdn"]) == 0  # an earlier page is replaced
    assert "cdn.jsdelivr.net" in (out / "transformers.mjs").read_text()
    assert not list(out.glob("*.wasm"))


def test_what_has_no_page_is_refused_in_one_line(
    bundle, vector_bundle, installed, tmp_path, monkeypatch
):
    out = tmp_path / "page"
    whitened = vector_bundle(whitening=8)
    with pytest.raises(ModelError, match="its whitening is computed outside the graph"):
        write_demo(whitened, out, node=installed)
    made = bundle()
    with pytest.raises(UserError, match="missing; install it there: npm install --prefix"):
        write_demo(made, out, node=tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="npm is not here; name a folder where"):
        write_demo(made, out)
    (made / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(ModelError, match=r"no tokenizer\.json; the bundle is not whole"):
        write_demo(made, out, node=installed)
    (tmp_path / "tokenizer.json").rename(made / "tokenizer.json")
    manifest = json.loads((made / "distill.json").read_text())
    kept = {"transformers": manifest["formats"]["transformers"]}
    (made / "distill.json").write_text(json.dumps(manifest | {"formats": kept}))
    with pytest.raises(ModelError, match=r"no page without an ONNX file \(it has transformers\)"):
        write_demo(made, out, node=installed)
    assert not out.exists()
    with pytest.raises(UserError, match="there is something else"):
        write_demo(made, tmp_path, node=installed)
