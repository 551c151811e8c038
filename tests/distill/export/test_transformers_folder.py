import copy
import json
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.export.bundle import write_bundle
from distill.export.transformers_folder import save_transformers
from distill.pruning.masks import Masks
from distill.pruning.surgery import slice_model
from students.heads import class_of
from students.pooling import POOLING
from students.pruned import PrunedBertForSequenceClassification
from teachers.load import load_model

PIPELINE = """
import json, sys
sys.modules["distill"] = sys.modules["students"] = sys.modules["teachers"] = None
from transformers import pipeline
found = pipeline("text-classification", model=sys.argv[1], trust_remote_code=len(sys.argv) > 2)
print(json.dumps(found("the best film", top_k=None)))
"""


@pytest.fixture
def stock(tiny_bert):
    folder = tiny_bert(labels=("bad", "fair", "good"))
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def pruned(model):
    heads, ffn = model.config.num_attention_heads, model.config.intermediate_size
    masks = Masks(
        [torch.arange(heads) < 1, torch.zeros(heads, dtype=torch.bool)],
        [torch.arange(ffn) < 7, torch.arange(ffn) < 5],
    )
    return slice_model(model, masks)


def scores(model, tokenizer) -> dict[str, float]:
    with torch.inference_mode():
        logits = model(**tokenizer("the best film", return_tensors="pt")).logits[0]
    shares = logits.softmax(-1).tolist()
    return {model.config.id2label[index]: share for index, share in enumerate(shares)}


def in_a_fresh_process(tmp_path, script, *words) -> list[Any]:
    """What a script prints, line by line, where nothing of ours can be imported."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, *map(str, words)],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "hf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line[:1] in "[{"]


def predicted(tmp_path, *words) -> dict[str, float]:
    [rows] = in_a_fresh_process(tmp_path, PIPELINE, *words)
    return {row["label"]: row["score"] for row in rows}


def test_stock_bert_needs_transformers_only(stock, tmp_path):
    model, tokenizer = stock
    save_transformers(model, tokenizer, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    found = predicted(tmp_path, tmp_path / "out")
    assert found == pytest.approx(scores(model, tokenizer), abs=1e-5)


def test_a_pruned_model_brings_its_code_along(stock, tmp_path):
    model, tokenizer = pruned(stock[0]), stock[1]
    save_transformers(model, tokenizer, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "family.py",
        "model.safetensors",
        "pruned.py",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert getattr(model.config, "auto_map", None) is None
    # In a bundle other libraries read the family's type; transformers goes on to the model's own.
    bundle = tmp_path / "bundle"
    info = {"task": "classification", "labels": ["bad", "fair", "good"], "pair": False}
    folders = {"transformers_folder": tmp_path / "out", "tokenizer_folder": tmp_path / "out"}
    write_bundle(bundle, **folders, models={}, info={"name": "n", "max_length": 16, **info})
    said = json.loads((bundle / "config.json").read_text())
    assert said["model_type"] == "bert"
    assert said["architectures"] == ["BertForSequenceClassification"]
    assert type(load_model(bundle)) is PrunedBertForSequenceClassification
    found = predicted(tmp_path, bundle, "trust")
    assert found == pytest.approx(scores(model, tokenizer), abs=1e-5)


HEADS = """
import json, sys
sys.modules["distill"] = sys.modules["students"] = sys.modules["teachers"] = None
import torch, transformers
for folder, name in zip(sys.argv[1::2], sys.argv[2::2]):
    kind = getattr(transformers, name)
    model = kind.from_pretrained(folder, trust_remote_code=True).eval()
    assert type(model).__module__.startswith("transformers_modules"), type(model)
    read = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    with torch.inference_mode():
        output = model(**read("the best film", return_tensors="pt"))
    print(json.dumps({name: part.tolist() for name, part in output.items()}))
"""
AUTO = {
    "tokens": "AutoModelForTokenClassification",
    "spans": "AutoModelForQuestionAnswering",
    "vectors": "AutoModel",
}


def test_every_pruned_head_loads_from_its_folder_alone(stock, tmp_path):
    tokenizer, words, expected = stock[1], [], []
    for head, auto in AUTO.items():
        config = copy.deepcopy(stock[0].config)
        config.num_labels = 2 if head == "spans" else 3
        if head == "vectors":
            setattr(config, POOLING, "mean")
        model = pruned(class_of(config, head)(config).eval())
        folder = tmp_path / head
        save_transformers(model, tokenizer, folder)
        words += [folder, auto]
        with torch.inference_mode():
            expected.append(dict(model(**tokenizer("the best film", return_tensors="pt"))))
    found = in_a_fresh_process(tmp_path, HEADS, *words)
    for here, there in zip(expected, found, strict=True):
        assert set(here) == set(there)
        for name, tensor in here.items():
            told = torch.tensor(there[name])
            torch.testing.assert_close(told, tensor, atol=1e-5, rtol=0, msg=name)


def test_a_full_disk_leaves_the_old_folder(stock, tmp_path, monkeypatch):
    save_transformers(*stock, tmp_path / "out")
    before = (tmp_path / "out" / "config.json").read_text()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(stock[1]), "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        save_transformers(pruned(stock[0]), stock[1], tmp_path / "out")
    assert (tmp_path / "out" / "config.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
