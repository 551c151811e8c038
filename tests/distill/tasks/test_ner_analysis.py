"""Predictions of every word: kept in the data's order, and what is told of entities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from distill.data.batches import make_loader
from distill.evaluation.error_analysis import (
    disagreeing,
    disagreement,
    label_scores,
    of_model,
    read_predictions,
    write_analysis,
)
from distill.tasks.ner.analysis import NOTHING, OTHER_WORDS, EntityAnalysis
from distill.tasks.ner.task import Ner
from distill.tasks.ner.tokens import TaggedSplit, tag_tokens, tagged
from distill.text.tags import TagSet, tags_of

TAGS = TagSet(tags_of(["person", "place"], "bio"), "bio")
OUT, B_PERSON, I_PERSON, B_PLACE = range(4)

TRUE = [
    [B_PERSON, I_PERSON, OUT, OUT, B_PLACE],
    [B_PLACE, OUT],
    [OUT, OUT, B_PERSON],
    [OUT],
]
PREDICTED = {
    "teacher": [
        [B_PERSON, I_PERSON, OUT, OUT, B_PERSON],
        [OUT, OUT],
        [OUT, OUT, B_PERSON],
        [B_PLACE],
    ],
    "model": [[B_PERSON, OUT, OUT, OUT, B_PLACE], [B_PLACE, OUT], [OUT, OUT, B_PERSON], [OUT]],
}


@pytest.fixture
def tokenizer(tiny_bert: Callable[..., Path]) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert(words=["ann", "lee", "rome"]))


def analysis_of(given: TaggedSplit, tokenizer: Any, metric: str = "f1") -> EntityAnalysis:
    rows = tag_tokens(given, tokenizer, max_length=16)
    made = Ner(TAGS.labels, metric=metric).analysis(given, rows, tokenizer)
    assert made is not None
    return made


def four(tokenizer: Any, metric: str = "f1") -> EntityAnalysis:
    """Four rows; the student is surer of the second row than of the first."""
    words = [["film"] * len(row) for row in TRUE]
    made = analysis_of(tagged("test", words, TRUE, TAGS), tokenizer, metric)
    for name, tags in PREDICTED.items():
        flat = np.concatenate(tags)
        sure = np.full((len(flat), 5), 0.05, np.float32)
        sure[np.arange(len(flat)), flat] = 0.8
        sure[5, flat[5]] = 0.9
        made.outputs[name] = sure
    return made


@pytest.fixture
def found(tokenizer: Any) -> EntityAnalysis:
    return four(tokenizer)


def test_types_are_scored_by_whole_entities(found: EntityAnalysis) -> None:
    scores = label_scores(found, "model")
    # One of two persons is found whole, and the other one by its first word alone.
    assert scores["person"].model_dump() == {
        "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2
    }  # fmt: skip
    assert scores["place"].model_dump() == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2
    }  # fmt: skip


def test_confusions_tell_types_other_words_and_nothing(found: EntityAnalysis) -> None:
    assert found.confusions("teacher") == {
        "person": {"person": 2},
        "place": {"person": 1, NOTHING: 1},
        NOTHING: {"place": 1},
    }
    assert found.confusions("model") == {
        "person": {"person": 1, OTHER_WORDS: 1},
        "place": {"place": 2},
    }


def test_rows_with_other_entities_are_counted_and_the_surest_come_first(
    found: EntityAnalysis,
) -> None:
    told = disagreement(found, "teacher", "model")
    assert told is not None
    assert told.model_dump() == {
        "model": "model", "rows": 3, "share": 0.75,
        "teacher_right": 0, "model_right": 2, "neither_right": 1,
    }  # fmt: skip
    assert disagreeing(found, "teacher", "model", most=5) == [1, 0, 3]
    assert disagreeing(found, "teacher", "model", most=1) == [1]


def test_calibration_is_over_words(found: EntityAnalysis) -> None:
    told = of_model(found, "model")["calibration"]
    # One of eleven words is wrong: sure of 0.8, but for one word of 0.9.
    assert sum(one.rows for one in told.bins) == 11
    assert told.ece == pytest.approx((10 * abs(0.9 - 0.8) + 1 * abs(1 - 0.9)) / 11, abs=1e-6)


def split() -> TaggedSplit:
    """Short rows and one of several windows."""
    long = ["good", "film"] * 12 + ["Ann", "Lee"]
    words = [["Ann", "sings"], long, ["in", "Rome", "."], ["Lee"]]
    tags = [[B_PERSON, OUT], [OUT] * 24 + [B_PERSON, I_PERSON], [OUT, B_PLACE, OUT], [B_PERSON]]
    return tagged("test", words, tags, TAGS, stride=4)


def test_words_are_kept_in_the_order_of_the_data(tokenizer: Any, tmp_path: Path) -> None:
    given = split()
    rows = tag_tokens(given, tokenizer, max_length=16)
    found = analysis_of(given, tokenizer)
    by_row = [found.targets[found.row_of_token == row].tolist() for row in range(4)]
    # "sings" is one unit of two pieces, and every unit stands once, whatever the windows.
    assert by_row == given.labels
    task, metrics = Ner(TAGS.labels), Ner(TAGS.labels).metrics()
    keep = found.keeper("x", task, rows)
    assert keep is not None
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((len(rows), 16, 5), generator=generator)
    for size in (3,):  # batches come by length, not in the order of the rows
        for batch in make_loader(rows, size, seed=0, shuffle=False):
            part = logits[batch["index"]][:, : batch["input_ids"].shape[1]]
            task.observe(metrics, part, batch)
            keep(part.numpy(), batch)
    flat = []
    for window in range(len(rows)):
        label = torch.from_numpy(np.array(rows[window]["labels"], dtype=np.int64))
        flat.append(logits[window, : len(label)][label != -100])
    np.testing.assert_allclose(found.outputs["x"], torch.cat(flat).softmax(-1).numpy(), atol=1e-6)
    # The entities are those that the metrics count.
    scores = {name: float(value) for name, value in metrics.compute().items()}
    told = label_scores(found, "x")
    for kind, one in told.items():
        assert one.f1 == pytest.approx(scores[f"f1_{kind}"])
        assert one.precision == pytest.approx(scores[f"precision_{kind}"])
    [path] = write_analysis(found, tmp_path)
    back = read_predictions(path)
    np.testing.assert_array_equal(back.shared["rows"], found.row_of_token)
    np.testing.assert_array_equal(back.models["x"]["outputs"], found.outputs["x"])
