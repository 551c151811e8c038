"""Runs with augmentation: who sees the rows, what is written, and that it is always the same."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
import yaml

from distill.cache import cache_folder
from distill.cli.main import main

STAGES = ["intermediate", "prediction"]


@pytest.fixture
def augmented(tiny_recipe: Path) -> Path:
    """The tiny recipe up to its second distill stage, with an augment stage before the first."""
    recipe = yaml.safe_load(tiny_recipe.read_text("utf-8"))
    del recipe["track"]
    recipe["teacher"]["finetune"]["epochs"] = 1
    kept = [dict(stage, epochs=1) for stage in recipe["stages"][:2]]
    kept[1]["objectives"] = [{"kind": "logits", "hard_weight": 0.5}]
    recipe["stages"] = [{"kind": "augment", "copies": 3, "candidates": 4}, *kept]
    tiny_recipe.write_text(yaml.safe_dump(recipe, sort_keys=False), "utf-8")
    return tiny_recipe


def _rows(run: Path) -> list[dict[str, object]]:
    with gzip.open(run / "03-augment" / "rows.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _facts(run: Path, folder: str) -> dict[str, object]:
    return json.loads((run / folder / "stage.json").read_text("utf-8"))  # type: ignore[no-any-return]


def test_students_alone_see_the_rows(tmp_path, augmented):
    run = tmp_path / "run"
    assert main(["run", str(augmented), "--run-dir", str(run)]) == 0
    rows, facts = _rows(run), _facts(run, "03-augment")
    texts = [json.loads(line)["text"] for line in (tmp_path / "train.jsonl").open()]
    assert facts["rows_in"] == 48
    assert facts["rows_out"] == len(rows) > 48
    assert facts["words"]["neighbours"] > 0 == facts["words"]["mlm"]
    assert 0 < facts["replaced_share"] < 0.6
    assert any("has no masked-language head" in note for note in facts["notes"])
    assert len(facts["examples"]) == 10
    assert {tuple(row) for row in rows} == {("row", "text", "label")}
    assert all(row["text"] != texts[row["row"]] for row in rows)
    assert max(sum(row["row"] == n for row in rows) for n in range(48)) <= 3
    steps = -(-(48 + len(rows)) // 8)
    assert _facts(run, "01-teacher")["steps"] == 6
    assert _facts(run, "02-baseline")["steps"] == 2 * 6
    assert _facts(run, "04-intermediate")["steps"] == steps
    assert _facts(run, "05-prediction")["steps"] == steps

    again = ["resume", str(run), "stages.prediction.augmented=false"]
    before = (run / "03-augment" / "rows.jsonl.gz").stat()
    assert main(again) == 0
    assert _facts(run, "05-prediction")["steps"] == 6
    assert _facts(run, "04-intermediate")["steps"] == steps
    assert (run / "03-augment" / "rows.jsonl.gz").stat() == before


def test_other_rows_make_other_students(tmp_path, augmented):
    run = tmp_path / "run"
    main(["run", str(augmented), "--run-dir", str(run)])
    old = [_mark(run, stage) for stage in ("01-teacher", "03-augment", "04-intermediate")]
    assert main(["resume", str(run), "stages.augment.replace=0.9"]) == 0
    new = [_mark(run, stage) for stage in ("01-teacher", "03-augment", "04-intermediate")]
    assert old[0] == new[0]
    assert old[1] != new[1]
    assert old[2] != new[2]


def _mark(run: Path, stage: str) -> dict[str, str]:
    return json.loads((run / stage / "done.json").read_text("utf-8"))["outputs"]  # type: ignore[no-any-return]


def test_a_stage_begun_anew_leaves_the_same_bytes(tmp_path, augmented):
    run = tmp_path / "run"
    main(["run", str(augmented), "--run-dir", str(run)])
    rows = run / "03-augment" / "rows.jsonl.gz"
    before = rows.read_bytes()
    for name in ("rows.jsonl.gz", "done.json"):
        (run / "03-augment" / name).unlink()
    shutil.rmtree(cache_folder())
    assert main(["resume", str(run)]) == 0
    assert rows.read_bytes() == before


def test_rows_that_the_teacher_labels_otherwise_are_dropped(tmp_path, augmented):
    run = tmp_path / "run"
    main(["run", str(augmented), "--run-dir", str(run)])
    every = [(row["row"], row["text"]) for row in _rows(run)]
    assert main(["resume", str(run), "stages.augment.teacher_agreement=true"]) == 0
    kept, facts = [(row["row"], row["text"]) for row in _rows(run)], _facts(run, "03-augment")
    assert facts["rows_out"] == len(kept)
    assert facts["rows_dropped"] == len(every) - len(kept)
    assert set(kept) <= set(every)
    labels = _labels(run / "01-teacher" / "model", [text for _, text in every])
    own = _labels(
        run / "01-teacher" / "model",
        [json.loads(line)["text"] for line in (tmp_path / "train.jsonl").open()],
    )
    assert kept == [
        pair for pair, label in zip(every, labels, strict=False) if label == own[pair[0]]
    ]
    assert not list((run / "03-augment").glob("every*"))
    assert main(["resume", str(run), "stages.augment.teacher_agreement=0.99"]) == 0
    assert _facts(run, "03-augment")["rows_out"] < len(kept)


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
