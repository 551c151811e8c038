import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from distill.cli.main import main
from distill.runtime import load
from distill.runtime.manifest import predict_command
from distill.system.errors import DataError, ModelError
from distill.tasks.decoder import softmax

TEXTS = [
    "the best film",
    "",
    "a very long and dull story about a model that was never given one good token " * 3,
    "bad",
    "Ünïcödé 漢字 🙂",
    "return the value of the function",
]
PAIRS = ["a sad story", "the film " * 20, "no", "", "yes", "call it"]


def reference(folder, texts, pairs=None, max_length=16):
    """What transformers computes, one text at a time, so without any padding."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for index, text in enumerate(texts):
        # Lists, because a lone second text of "" would be taken for none.
        pair = None if pairs is None else [pairs[index]]
        encoded = tokenizer(
            [text], pair, truncation=True, max_length=max_length, return_tensors="pt"
        )
        with torch.inference_mode():
            rows.append(model(**encoded).logits[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("pair", [False, True])
def test_logits_are_those_of_transformers(bundle, pair):
    folder = bundle(pair=pair)
    pairs = PAIRS if pair else None
    expected = reference(folder, TEXTS, pairs)
    plain = load(folder, format="onnx", threads=1)
    for batch_size in (1, 4, 100):
        found = plain.logits(TEXTS, pairs, batch_size=batch_size)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    int8 = load(folder, threads=1)
    assert int8.format == "onnx-int8"
    np.testing.assert_allclose(int8.logits(TEXTS, pairs), expected, atol=0.5)


def test_predictions_come_in_order_with_probabilities(bundle):
    classifier = load(bundle(), format="onnx", threads=1)
    found = classifier.predict(TEXTS, batch_size=2)
    shares = softmax(classifier.logits(TEXTS))
    assert len(found) == len(TEXTS)
    for prediction, row in zip(found, shares, strict=True):
        assert list(prediction) == ["label", "probabilities"]
        assert list(prediction["probabilities"]) == ["bad", "fair", "good"]
        assert prediction["label"] == ["bad", "fair", "good"][row.argmax()]
        assert sum(prediction["probabilities"].values()) == pytest.approx(1.0)
        np.testing.assert_allclose(list(prediction["probabilities"].values()), row, atol=1e-4)
    assert len({prediction["label"] for prediction in found}) > 1
    json.dumps(found)


def test_wrong_texts_are_told(bundle):
    classifier = load(bundle(), threads=1)
    with pytest.raises(DataError, match="texts is one string"):
        classifier.predict("a film")
    with pytest.raises(DataError, match=r"texts\[1\] is a NoneType"):
        classifier.predict(["a", None])
    with pytest.raises(DataError, match=r"texts\[1\] is not valid Unicode"):
        classifier.predict(["a", "\ud800"])
    with pytest.raises(DataError, match="takes single texts"):
        classifier.predict(["a"], ["b"])
    with pytest.raises(DataError, match="batch_size is 0"):
        classifier.predict(["a"], batch_size=0)


def test_wrong_pairs_are_told(bundle):
    classifier = load(bundle(pair=True), threads=1)
    with pytest.raises(DataError, match="compares two texts"):
        classifier.predict(["a"])
    with pytest.raises(DataError, match="2 texts but 1 pairs"):
        classifier.predict(["a", "b"], ["c"])
    assert len(classifier.predict(["a"], ["b"])) == 1


def test_a_run_folder_stands_for_its_bundle(bundle, tmp_path):
    folder = bundle()
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.yaml").write_text("recipe: 1\n")
    with pytest.raises(ModelError, match="a run without a bundle yet; finish it with"):
        load(run)
    folder.rename(run / "bundle")
    assert load(run, threads=1).labels == ("bad", "fair", "good")


def test_folders_that_are_no_bundle_are_told(tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        load(tmp_path / "none")
    with pytest.raises(ModelError, match=r"not a bundle \(it has no distill\.json\)"):
        load(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="a file, not a folder"):
        load(tmp_path / "file")


@pytest.mark.parametrize("pair", [False, True])
def test_a_bundle_names_a_command_that_works(bundle, pair):
    folder = bundle(pair=pair)
    said = shlex.split(predict_command(folder))
    assert said[:2] == ["distill", "predict"]
    assert main(said[1:]) == 0
    assert ("--pair" in said) is pair


def test_bundles_that_are_not_whole_are_told(bundle):
    folder = bundle()
    with pytest.raises(ModelError, match=r"no format 'openvino' .* it has onnx-int8, onnx"):
        load(folder, format="openvino")
    with pytest.raises(ModelError, match="no format 'transformers'"):
        load(folder, format="transformers")
    content = (folder / "onnx/model.onnx").read_bytes()
    (folder / "onnx/model.onnx").write_bytes(content[:-1] + b"x")
    load(folder, format="onnx-int8", threads=1)
    with pytest.raises(ModelError, match="not the file that was exported as 'onnx'"):
        load(folder, verify=True)
    (folder / "onnx/model.onnx").write_bytes(content[:-1])
    with pytest.raises(ModelError, match="the copy is not whole"):
        load(folder, format="onnx")
    (folder / "onnx/model_quantized.onnx").unlink()
    with pytest.raises(ModelError, match="missing from the bundle"):
        load(folder)


def test_other_tasks_and_missing_tokenizers_are_told(bundle):
    folder = bundle()
    content = json.loads((folder / "distill.json").read_text())
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json: not a tokenizer"):
        load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        load(folder)
    (folder / "distill.json").write_text(json.dumps({**content, "task": "parsing"}))
    with pytest.raises(ModelError, match="a bundle for 'parsing'"):
        load(folder)


ALONE = """
import sys
absent = "torch transformers lightning pandas pydantic nni rich onnx psutil safetensors pyarrow"
for name in absent.split():
    sys.modules[name] = None
import distill
before = set(sys.modules)
from distill.runtime import load, tuning
print(load(sys.argv[1], threads=1).predict(["a good film"] * 2, instances=2)[0]["label"])
heavy = {"torch", "transformers", "lightning", "pandas", "students", "teachers"}
loaded = {name.split(".")[0] for name in sys.modules if sys.modules[name] is not None}
assert not heavy & loaded, heavy & loaded
third = loaded - set(sys.stdlib_module_names) - {"distill"}
print(sorted(name for name in third if not name.startswith("_")))
"""


def test_it_needs_numpy_tokenizers_and_onnxruntime_only(bundle):
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(bundle())], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    label, third = done.stdout.splitlines()
    assert label in ("bad", "fair", "good")
    assert {"numpy", "onnxruntime", "tokenizers"} <= set(eval(third))
    assert not {"huggingface_hub", "safetensors", "datasets"} & set(eval(third))
