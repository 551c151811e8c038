"""``distill benchmark``: what is timed and told; never how fast this machine is."""

import json
import shutil

import pytest

from distill.cli.main import main
from distill.evaluation import predictors


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("distill.evaluation.speed._PAUSE_SECONDS", 0.0)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("a good film\nbad\nthe best film of all the actors\n", "utf-8")
    return path


def ran(words, capsys):
    code = main(["benchmark", *map(str, words), "--threads", "1", "--repeats", "3"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_every_format_of_a_bundle_at_the_rows_lengths(bundle, texts, capsys):
    folder = bundle()
    out = ran([folder, "--rows", texts, "--lengths", "real,8", "--batch-sizes", "1,2"], capsys)
    lines = out.splitlines()
    assert lines[0].split("  ")[0] == "model"
    assert "p50 ms b1_real" in lines[0]
    assert "ex/s b2_real" in lines[0]
    names = [line.split()[0] for line in lines[1:4]]
    assert names == ["bundle/transformers", "bundle/onnx", "bundle/onnx-int8"]
    assert "1x: bundle/transformers; faster at batch 1, real lengths (" in out
    assert lines[-1] == f'next: distill predict {folder} "some text"'


def test_json_has_every_number(bundle, tiny_bert, tmp_path, capsys, monkeypatch):
    small = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1}
    monkeypatch.setitem(predictors.SHAPES, "bert-base", small | {"intermediate_size": 8})
    file = tmp_path / "alone.onnx"
    shutil.copyfile(bundle() / "onnx/model.onnx", file)
    words = [tiny_bert(), tmp_path / "bundle", file, file, "--lengths", "8", "--against"]
    found = json.loads(ran([*words, "bert-base", "--json"], capsys))
    assert found["one"] == "bert-base"
    assert found["real_lengths"] is None
    models = {model["name"]: model for model in found["models"]}
    assert list(models) == [
        "bert-base", "model", "bundle/transformers", "bundle/onnx", "bundle/onnx-int8", "alone",
        "alone (2)",
    ]  # fmt: skip
    assert models["bert-base"]["faster"] == models["bert-base"]["smaller"] == 1.0
    assert models["alone"]["parameters"] is None
    assert models["bundle/onnx"]["parameters"] == models["bundle/transformers"]["parameters"]
    assert models["bundle/onnx-int8"]["bytes"] < models["bundle/onnx"]["bytes"]
    assert set(models["alone"]["latency_ms"]) == {"b1_l8"}
    assert found["machine"]["threads"] == 1


def test_a_run_folder_is_named_after_the_run(bundle, tmp_path, capsys):
    run = tmp_path / "sst2"
    run.mkdir()
    bundle().rename(run / "bundle")
    out = ran([run, "--lengths", "8"], capsys)
    assert "sst2/onnx-int8" in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--lengths", "8,x"], "--lengths: found 'x'"),
        (["--batch-sizes", "0"], "--batch-sizes: found '0'"),
        (["--against", "gpt"], "'gpt' is not one of 'bert-base'"),
        ([], "real lengths are not known: give rows of the task (--rows FILE)"),
        (["--lengths", "500"], "reads at most 128 tokens and 500 are to be timed"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(bundle, capsys, words, told):
    assert main(["benchmark", str(bundle()), *words]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert len(err.splitlines()) == 1


def test_what_is_no_model_is_told(tmp_path, bundle, texts, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["benchmark", str(tmp_path / "empty"), "--lengths", "8"]) == 2
    assert "not a bundle" in capsys.readouterr().err
    file = tmp_path / "alone.onnx"
    shutil.copyfile(bundle() / "onnx/model.onnx", file)
    assert main(["benchmark", str(file), "--rows", str(texts)]) == 2
    assert "a bundle is needed too" in capsys.readouterr().err
    assert main(["benchmark", str(file), "--lengths", "500"]) == 2
    assert "alone.onnx: does not answer to 500 tokens" in capsys.readouterr().err
