import json

import numpy as np
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.cli.main import main
from distill.runtime import load

TEXTS = ["the best film", "bad"]


def test_any_classifier_becomes_a_bundle(tiny_bert, tmp_path, capsys):
    folder = tiny_bert(labels=("bad", "fair", "good"))
    out = tmp_path / "bundle"
    formats = "transformers,onnx,onnx-int8,torch-export"
    assert main(["export", str(folder), "--out", str(out), "--formats", formats]) in (0, None)
    assert f"{out}: transformers, onnx, onnx-int8, torch-export" in capsys.readouterr().out
    said = json.loads((out / "distill.json").read_text())
    assert said["labels"] == ["bad", "fair", "good"]
    assert said["max_length"] == 128
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, return_tensors="pt", padding=True)
    expected = model(**tokens).logits.detach().numpy()
    np.testing.assert_allclose(
        load(out, format="onnx", threads=1).logits(TEXTS), expected, atol=1e-5
    )
    import torch

    program = torch.export.load(out / "model.pt2").module()
    names = ("input_ids", "attention_mask", "token_type_ids")
    found = program(*(tokens[name] for name in names)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mistakes_are_told(tiny_bert, tmp_path, capsys):
    folder = tiny_bert()
    (tmp_path / "taken").mkdir()
    for words, told in (
        (["--out", str(tmp_path / "taken")], "there is something else"),
        (["--out", str(tmp_path / "x"), "--formats", "tflite"], "unknown format 'tflite'"),
        (["--out", str(tmp_path / "x"), "--max-length", "999"], "the model reads up to 128"),
    ):
        assert main(["export", str(folder), *words]) == 2
        assert told in capsys.readouterr().err
