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
from distill.evaluation.mistakes import calibration
from distill.evaluation.predictions import Predictions, read_predictions, write_predictions
from distill.evaluation.tags import (
    NOTHING,
    OTHER_WORDS,
    EntityMistakes,
    tag_keeper,
    tag_predictions,
)
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
SAID = {
    "teacher": [
        [B_PERSON, I_PERSON, OUT, OUT, B_PERSON],
        [OUT, OUT],
        [OUT, OUT, B_PERSON],
        [B_PLACE],
    ],
    "model": [[B_PERSON, OUT, OUT, OUT, B_PLACE], [B_PLACE, OUT], [OUT, OUT, B_PERSON], [OUT]],
}


@pytest.fixture
def found() -> Predictions:
    """Four rows; the student is surer of the second row than of the first."""
    rows = np.repeat(np.arange(4), [len(row) for row in TRUE])
    made = Predictions("ner", TAGS.labels, np.concatenate(TRUE), rows=rows)
    for name, tags in SAID.items():
        flat = np.concatenate(tags)
        sure = np.full((len(flat), 5), 0.05, np.float32)
        sure[np.arange(len(flat)), flat] = 0.8
        sure[5, flat[5]] = 0.9
        made.outputs[name] = sure
    return made


def mistakes(found: Predictions, *, strict: bool = True) -> EntityMistakes:
    return EntityMistakes(found, TAGS, strict=strict)


def test_types_are_scored_by_whole_entities(found: Predictions) -> None:
    scores = mistakes(found).scores("model")
    # One of two persons is found whole, and the other one by its first word alone.
    assert scores["person"].model_dump() == {
        "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2
    }  # fmt: skip
    assert scores["place"].model_dump() == {
        "precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2
    }  # fmt: skip


def test_confusions_tell_types_other_words_and_nothing(found: Predictions) -> None:
    assert mistakes(found).confusion("teacher").rows == {
        "person": {"person": 2},
        "place": {"person": 1, NOTHING: 1},
        NOTHING: {"place": 1},
    }
    assert mistakes(found).confusion("model").rows == {
        "person": {"person": 1, OTHER_WORDS: 1},
        "place": {"place": 2},
    }


def test_rows_with_other_entities_are_counted_and_the_surest_come_first(
    found: Predictions,
) -> None:
    told = mistakes(found).disagreement("teacher", "model")
    assert told.model_dump() == {
        "model": "model", "rows": 3, "share": 0.75,
        "teacher_right": 0, "model_right": 2, "neither_right": 1,
    }  # fmt: skip
    assert mistakes(found).disagreeing("teacher", "model", most=5) == [1, 0, 3]
    assert mistakes(found).disagreeing("teacher", "model", most=1) == [1]


def test_illegal_tags_are_read_as_the_runtime_does(found: Predictions) -> None:
    found.outputs["model"][0] = np.eye(5, dtype=np.float32)[I_PERSON]
    found.outputs["model"][1] = np.eye(5, dtype=np.float32)[I_PERSON]
    assert mistakes(found).scores("model")["person"].recall == 0.5
    assert mistakes(found, strict=False).scores("model")["person"].recall == 1.0


def test_calibration_is_over_words(found: Predictions) -> None:
    told = calibration(found, "model")
    assert told is not None
    # One of eleven words is wrong: sure of 0.8, but for one word of 0.9.
    assert sum(one.rows for one in told.bins) == 11
    assert told.ece == pytest.approx((10 * abs(0.9 - 0.8) + 1 * abs(1 - 0.9)) / 11, abs=1e-6)


@pytest.fixture
def tokenizer(tiny_bert: Callable[..., Path]) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert(words=["ann", "lee", "rome"]))


def split() -> TaggedSplit:
    """Short rows and one of several windows."""
    long = ["good", "film"] * 12 + ["Ann", "Lee"]
    words = [["Ann", "sings"], long, ["in", "Rome", "."], ["Lee"]]
    tags = [[B_PERSON, OUT], [OUT] * 24 + [B_PERSON, I_PERSON], [OUT, B_PLACE, OUT], [B_PERSON]]
    return tagged("test", words, tags, TAGS, stride=4)


def test_words_are_kept_in_the_order_of_the_data(tokenizer: Any, tmp_path: Path) -> None:
    given = split()
    rows = tag_tokens(given, tokenizer, max_length=16)
    found = tag_predictions(TAGS.labels, rows)
    assert found.rows is not None
    by_row = [found.targets[found.rows == row].tolist() for row in range(4)]
    # "sings" is one unit of two pieces, and every unit stands once, whatever the windows.
    assert by_row == given.labels
    task, metrics = Ner(TAGS.labels), Ner(TAGS.labels).metrics()
    keep = tag_keeper(found, "x", rows)
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
    told = EntityMistakes(found, TAGS, strict=True).scores("x")
    for kind, one in told.items():
        assert one.f1 == pytest.approx(scores[f"f1_{kind}"])
        assert one.precision == pytest.approx(scores[f"precision_{kind}"])
    write_predictions(tmp_path / "p.npz", found)
    back = read_predictions(tmp_path / "p.npz")
    np.testing.assert_array_equal(back.rows, found.rows)
    np.testing.assert_array_equal(back.outputs["x"], found.outputs["x"])


def test_a_model_that_reads_other_words_is_not_kept(tokenizer: Any) -> None:
    found = tag_predictions(TAGS.labels, tag_tokens(split(), tokenizer, max_length=16))
    other = tag_tokens(split().take([0, 1]), tokenizer, max_length=16)
    assert tag_keeper(found, "x", other) is None
    assert found.outputs == {}
