"""Runs with augmentation: who sees the rows, what is written, and that it is always the same."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from run_files import changed, facts, read_lines, recipe_at

from distill.cli.main import main
from distill.system.cache import cache_folder


@pytest.fixture
def augmented(tiny_recipe: Path) -> Path:
    """The tiny recipe up to its second distill stage, with an augment stage before the first."""
    recipe = recipe_at(tiny_recipe)
    recipe["teacher"]["finetune"]["epochs"] = 1
    kept = [dict(stage, epochs=1) for stage in recipe["stages"][:2]]
    kept[1]["objectives"] = [{"kind": "logits", "hard_weight": 0.5}]
    stages = [{"kind": "augment", "copies": 3, "candidates": 4}, *kept]
    return changed(tiny_recipe, track={}, teacher=recipe["teacher"], stages=stages)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture
def done(augmented: Path, kept: Path, tmp_path: Path) -> Path:
    """A finished run of the recipe, made once and free to be changed."""
    if not kept.exists():
        assert main(["run", str(augmented), "--run-dir", str(kept)]) == 0
    return Path(shutil.copytree(kept, tmp_path / "run"))


def _rows(run: Path) -> list[dict[str, object]]:
    with gzip.open(run / "03-augment" / "rows.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_students_alone_see_the_rows(tmp_path, done):
    run = done
    rows, told = _rows(run), facts(run / "03-augment")
    texts = [row["text"] for row in read_lines(tmp_path / "train.jsonl")]
    assert told["rows_in"] == 48
    assert told["rows_out"] == len(rows) > 48
    assert told["words"]["neighbours"] > 0 == told["words"]["mlm"]
    assert 0 < told["replaced_share"] < 0.6
    assert any("has no masked-language head" in note for note in told["notes"])
    assert len(told["examples"]) == 10
    page = (run / "report.html").read_text("utf-8")
    assert "Augmented examples" in page
    assert told["examples"][0]["augmented"][0]["text"] in page
    assert {tuple(row) for row in rows} == {("row", "text", "label")}
    assert all(row["text"] != texts[row["row"]] for row in rows)
    assert max(sum(row["row"] == n for row in rows) for n in range(48)) <= 3
    steps = -(-(48 + len(rows)) // 8)
    assert facts(run / "01-teacher")["steps"] == 6
    assert facts(run / "02-baseline")["steps"] == 2 * 6
    assert facts(run / "04-intermediate")["steps"] == steps
    assert facts(run / "05-prediction")["steps"] == steps

    again = ["resume", str(run), "stages.prediction.augmented=false"]
    before = (run / "03-augment" / "rows.jsonl.gz").stat()
    assert main(again) == 0
    assert facts(run / "05-prediction")["steps"] == 6
    assert facts(run / "04-intermediate")["steps"] == steps
    assert (run / "03-augment" / "rows.jsonl.gz").stat() == before


def test_other_rows_make_other_students(done):
    run = done
    old = [_mark(run, stage) for stage in ("01-teacher", "03-augment", "04-intermediate")]
    assert main(["resume", str(run), "stages.augment.replace=0.9"]) == 0
    new = [_mark(run, stage) for stage in ("01-teacher", "03-augment", "04-intermediate")]
    assert old[0] == new[0]
    assert old[1] != new[1]
    assert old[2] != new[2]


def _mark(run: Path, stage: str) -> dict[str, str]:
    return json.loads((run / stage / "done.json").read_text("utf-8"))["outputs"]  # type: ignore[no-any-return]


def test_a_stage_begun_anew_leaves_the_same_bytes(done):
    run = done
    rows = run / "03-augment" / "rows.jsonl.gz"
    before = rows.read_bytes()
    for name in ("rows.jsonl.gz", "done.json"):
        (run / "03-augment" / name).unlink()
    shutil.rmtree(cache_folder())
    assert main(["resume", str(run)]) == 0
    assert rows.read_bytes() == before


def test_rows_that_the_teacher_labels_otherwise_are_dropped(tmp_path, done):
    run = done
    every = [(row["row"], row["text"]) for row in _rows(run)]
    assert main(["resume", str(run), "stages.augment.teacher_agreement=true"]) == 0
    kept, told = [(row["row"], row["text"]) for row in _rows(run)], facts(run / "03-augment")
    assert told["rows_out"] == len(kept)
    assert told["rows_dropped"] == len(every) - len(kept)
    assert set(kept) <= set(every)
    labels = _labels(run / "01-teacher" / "model", [text for _, text in every])
    own = _labels(
        run / "01-teacher" / "model",
        [row["text"] for row in read_lines(tmp_path / "train.jsonl")],
    )
    assert kept == [
        pair for pair, label in zip(every, labels, strict=False) if label == own[pair[0]]
    ]
    assert not list((run / "03-augment").glob("every*"))
    assert main(["resume", str(run), "stages.augment.teacher_agreement=0.99"]) == 0
    assert facts(run / "03-augment")["rows_out"] < len(kept)


def _labels(model: Path, texts: list[str]) -> list[int]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    found = AutoModelForSequenceClassification.from_pretrained(model).eval()
    with torch.inference_mode():
        inputs = [
            tokenizer(text, return_tensors="pt", truncation=True, max_length=32) for text in texts
        ]
        return [int(found(**one).logits.argmax()) for one in inputs]


def test_the_command_makes_the_rows_of_a_run(tmp_path, augmented, done, capsys):
    run, out = done, tmp_path / "rows.jsonl.gz"
    capsys.readouterr()
    assert main(["augment", str(augmented), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.count("  -> ") in range(3, 7)
    assert "candidates of words: " in said
    assert f"rows: {out}\nnext: distill plan {augmented}" in said
    assert out.read_bytes() == (run / "03-augment" / "rows.jsonl.gz").read_bytes()

    capsys.readouterr()
    assert main(["augment", str(augmented), "--limit", "10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows_in"] == 10


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("words=mlm", "has no masked-language head; name a model that has one in `model`"),
        ("glove=nowhere.txt", "stages.augment.glove: no such file: nowhere.txt"),
        ("model=./nowhere", "nowhere: no such folder"),
    ],
)
def test_what_is_missing_is_told_before_anything_is_trained(
    tmp_path, augmented, capsys, setting, said
):
    words = ["run", str(augmented), f"stages.augment.{setting}", "--run-dir", str(tmp_path / "run")]
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(["validate", str(augmented), f"stages.augment.{setting}"]) == 2


def test_a_masked_language_model_of_ones_own(tmp_path, augmented, tiny_bert):
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = tiny_bert(seed=5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        BertForMaskedLM(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    run = tmp_path / "run"
    words = ["run", str(augmented), f"stages.augment.model={folder}", "stages.augment.words=mlm"]
    assert main([*words, "--run-dir", str(run)]) == 0
    found = facts(run / "03-augment")["words"]
    assert found["mlm"] > 0
    assert len(list((cache_folder() / "augment").glob("*/ids"))) == 1
