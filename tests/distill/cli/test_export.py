import json
import shutil

import numpy as np
import pytest
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from distill.cli.main import main
from distill.recipe.plan import plan_stages
from distill.recipe.schema import Recipe
from distill.run_folder import RunFolder
from distill.runtime import load
from students.heads import activation_of

TEXTS = ["the best film", "bad"]

pytestmark = pytest.mark.usefixtures("exported_once")


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


def a_run(folder, model, task, *, facts=None, columns=None, objective="logits"):
    """A run folder whose one distill stage has left a model."""
    data = {"source": "files", "train": "t.jsonl", "max_length": 16, "columns": columns or {}}
    content = {"recipe": 1, "name": "r", "task": task, "data": data}
    content |= {"teacher": {"model": str(model)}, "student": {"size": "2x32/2/64"}}
    content |= {"stages": [{"kind": "distill", "objectives": [{"kind": objective}]}]}
    recipe = Recipe.model_validate(content)
    run = RunFolder(folder)
    run.create(recipe)
    stage = plan_stages(recipe)[-1]
    place = run.begin(stage, "inputs")
    shutil.copytree(model, place / "model")
    (place / "stage.json").write_text(json.dumps(facts or {}))
    run.finish(stage, "inputs", [place / "model"])
    return folder


def exported(run, out):
    assert main(["export", str(run), "--out", str(out), "--formats", "onnx"]) in (0, None)
    return json.loads((out / "distill.json").read_text())


def test_a_run_of_questions_becomes_a_bundle(tiny_bert, tmp_path):
    model = tiny_bert(labels=("start", "end"))
    AutoModelForQuestionAnswering.from_pretrained(model).save_pretrained(model)
    task = {"kind": "qa", "no_answer": True, "threshold": 0.5, "stride": 2}
    said = exported(a_run(tmp_path / "run", model, task), tmp_path / "out")
    assert (said["task"], said["pair"], said["max_length"]) == ("qa", True, 16)
    assert "pipeline_tag: question-answering" in (tmp_path / "out" / "README.md").read_text()
    expected = {"max_answer_length": 30, "no_answer": True, "threshold": 0.5, "stride": 2}
    assert said["settings"] == expected | {"max_question_length": None}
    text = "the film was here . it was very dull"
    [found] = load(tmp_path / "out").predict(["what was it ?"], [text])
    assert text[found["start"] : found["end"]] == found["answer"]
    # Of the folder alone the task's defaults are taken.
    by_itself = exported(model, tmp_path / "by-itself")
    assert (by_itself["task"], by_itself["pair"]) == ("qa", True)
    assert by_itself["settings"]["no_answer"] is False


@pytest.mark.parametrize(
    ("thresholds", "facts", "expected"),
    [
        ({"good": 0.3}, {"thresholds": [0.9, 0.9]}, [0.5, 0.3]),
        ("auto", {"thresholds": [0.25, 0.75]}, [0.25, 0.75]),
    ],
)
def test_thresholds_of_a_run_come_along(tiny_bert, tmp_path, thresholds, facts, expected):
    model = tiny_bert(labels=("bad", "good"))
    config = json.loads((model / "config.json").read_text())
    config["problem_type"] = "multi_label_classification"
    (model / "config.json").write_text(json.dumps(config))
    task = {"kind": "multi_label", "labels": ["bad", "good"], "thresholds": thresholds}
    run = a_run(tmp_path / "run", model, task, facts=facts, columns={"text_pair": "second"})
    said = exported(run, tmp_path / "out")
    assert (said["task"], said["labels"], said["pair"]) == ("multi_label", ["bad", "good"], True)
    assert said["settings"] == {"thresholds": expected}


def test_runs_without_a_student_to_export_are_told(tiny_bert, tmp_path, capsys):
    model = tiny_bert()
    words = ["--out", str(tmp_path / "out"), "--formats", "onnx"]
    begun = a_run(tmp_path / "begun", model, {"kind": "classification"})
    next(begun.glob("*-distill/done.json")).unlink()
    assert main(["export", str(begun), *words]) == 2
    assert "no student yet; go on with: distill resume" in capsys.readouterr().err
    text = a_run(tmp_path / "text", model, {"kind": "text"}, objective="hidden")
    assert main(["export", str(text), *words]) == 2
    assert "a run over unlabelled text" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def change_config(folder, **values):
    path = folder / "config.json"
    config = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


SIGMOID = "torch.nn.modules.activation.Sigmoid"
IDENTITY = "torch.nn.modules.linear.Identity"


@pytest.fixture
def cross_encoder(tiny_bert):
    """A folder of a model with one output."""
    folder = tiny_bert()
    AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, ignore_mismatched_sizes=True, problem_type="regression"
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("config", "sigmoid"),
    [
        ({"problem_type": None}, True),
        ({"problem_type": None, "sentence_transformers": {"activation_fn": IDENTITY}}, False),
        ({"problem_type": "regression", "sentence_transformers": {"activation_fn": SIGMOID}}, True),
        ({"problem_type": None, "sbert_ce_default_activation_function": IDENTITY}, False),
    ],
)
def test_the_activation_is_the_configs(cross_encoder, config, sigmoid):
    change_config(cross_encoder, **config)
    found = activation_of(AutoConfig.from_pretrained(cross_encoder))
    assert found == ("sigmoid" if sigmoid else "none")


@pytest.mark.parametrize("said", [None, "regression"])
def test_a_cross_encoder_gives_a_score(cross_encoder, tmp_path, capsys, said):
    change_config(cross_encoder, problem_type=said)
    model = AutoModelForSequenceClassification.from_pretrained(cross_encoder).eval()
    tokens = AutoTokenizer.from_pretrained(cross_encoder)(
        "the film", "a story", return_tensors="pt"
    )
    raw = float(model(**tokens).logits.detach())
    wanted = raw if said else 1 / (1 + np.exp(-raw))
    out = tmp_path / "bundle"
    words = ["--out", str(out), "--formats", "onnx", "--pair"]
    assert main(["export", str(cross_encoder), *words]) == 0
    [found] = load(out).predict(["the film"], ["a story"])
    assert found == {"score": pytest.approx(wanted, abs=1e-5)}
    assert main(["predict", str(out), "the film", "--pair", "a story"]) == 0
    assert f"{wanted:.3f}" in capsys.readouterr().out


def test_an_activation_that_is_not_known_is_named(cross_encoder, tmp_path, capsys):
    change_config(cross_encoder, sentence_transformers={"activation_fn": "x.Softplus"})
    assert main(["export", str(cross_encoder), "--out", str(tmp_path / "out")]) == 2
    assert "names the activation 'x.Softplus'" in capsys.readouterr().err


def test_a_head_that_nothing_tells_is_asked_for(tiny_bert, tmp_path, capsys):
    folder = tiny_bert(labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    change_config(folder, architectures=None)
    words = ["export", str(folder), "--out", str(tmp_path / "out"), "--formats", "onnx"]
    assert main(words) == 2
    assert "takes --task too" in capsys.readouterr().err
    assert main(["inspect", str(folder), "the film"]) == 2
    assert "names no architectures" in capsys.readouterr().err
    assert main([*words, "--task", "tags"]) == 2
    assert "unknown task 'tags'; there are: classification" in capsys.readouterr().err
    assert main([*words, "--task", "regression"]) == 2
    assert "a regression has one output, and its head has 3" in capsys.readouterr().err
    assert main([*words, "--task", "classification"]) == 0
    assert json.loads((tmp_path / "out" / "distill.json").read_text())["task"] == "classification"
