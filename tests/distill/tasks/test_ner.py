"""Named entities: scores against seqeval, what is learned and compared, and what is kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer
from two_processes import run_both

from distill.data.batches import make_loader
from distill.evaluation.error_analysis import (
    disagreeing,
    disagreement,
    label_scores,
    of_model,
    read_predictions,
    write_analysis,
)
from distill.system.errors import DataError
from distill.tasks.ner.analysis import NOTHING, OTHER_WORDS, EntityAnalysis
from distill.tasks.ner.task import EntityScores, Ner
from distill.tasks.ner.tokens import TaggedSplit, tagged
from distill.text.tags import TagSet, tags_of

TYPES = ["person", "creative-work", "group"]
SETS = {scheme: TagSet(tags_of(TYPES, scheme), scheme) for scheme in ("bio", "bioes")}
Rows = list[tuple[list[int], list[int]]]


def drawn(tag_set: TagSet) -> st.SearchStrategy[Rows]:
    """Rows of predicted and true tags; the true ones legal, the predicted ones anything."""
    tag = st.integers(0, len(tag_set.labels) - 1)

    def row(tags: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
        true = [right for _, right in tags]
        legal = tag_set.write(tag_set.read(true, strict=False), len(true))
        # Every other prediction is right, so that there are hits.
        found = [legal[n] if other % 2 else other for n, (other, _) in enumerate(tags)]
        return found, legal

    return st.lists(st.lists(st.tuples(tag, tag), min_size=1, max_size=9).map(row), max_size=6)


def update(metric: EntityScores, rows: Rows, *, cuts: int = 1) -> None:
    """Give rows to a metric, each cut into so many windows."""
    windows = []
    for number, (found, true) in enumerate(rows):
        size = -(-len(true) // cuts)
        for start in range(0, len(true), size):
            windows.append((number, found[start : start + size], true[start : start + size]))
    for index in range(len(windows))[::-1]:  # windows come in any order
        number, found, true = windows[index]
        columns = [[number] * len(true), [index] * len(true), found, true]
        metric.update(*map(torch.tensor, columns))


def scores(metric: EntityScores) -> dict[str, float]:
    return {name: float(value) for name, value in metric.compute().items()}


def expected(tag_set: TagSet, rows: Rows) -> dict[str, float]:
    """The same by seqeval."""
    seqeval = pytest.importorskip("seqeval.metrics")
    schemes = pytest.importorskip("seqeval.scheme")
    scheme = schemes.IOB2 if tag_set.scheme == "bio" else schemes.IOBES
    names = [[[tag_set.labels[tag] for tag in tags] for tags in row] for row in rows]
    true, found = [row[1] for row in names], [row[0] for row in names]
    strict: dict[str, Any] = {"mode": "strict", "scheme": scheme, "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = {
            "precision": seqeval.precision_score(true, found, **strict),
            "recall": seqeval.recall_score(true, found, **strict),
            "f1": seqeval.f1_score(true, found, **strict),
            "macro_f1": seqeval.f1_score(true, found, average="macro", **strict),
            "lenient_f1": seqeval.f1_score(true, found, zero_division=0),
        }
        report = seqeval.classification_report(true, found, output_dict=True, **strict)
    for kind in tag_set.types:
        known = report.get(kind, {})
        for name, theirs in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            result[f"{name}_{kind}"] = known.get(theirs, 0.0)
    return {name: float(value) for name, value in result.items()}


@settings(max_examples=150, deadline=None)
@given(scheme=st.sampled_from(["bio", "bioes"]), cuts=st.integers(1, 4), data=st.data())
def test_scores_are_those_of_seqeval(scheme: str, cuts: int, data: st.DataObject) -> None:
    tag_set = SETS[scheme]
    rows = data.draw(drawn(tag_set))
    spans = [s for row in rows for tags in row for s in tag_set.read(tags, strict=False)]
    if not spans:
        return  # seqeval's means of nothing are no numbers
    metric = EntityScores(tag_set)
    update(metric, rows, cuts=cuts)
    if not any(tag_set.read(tags) for row in rows for tags in row):
        assert scores(metric)["macro_f1"] == 0
        return
    assert scores(metric) == pytest.approx(expected(tag_set, rows))


SHARED = """
from test_ner import SETS, scores, update
from distill.tasks.ner.task import EntityScores

whole, cut = [([0, 1, 2, 0], [0, 1, 2, 0])], [([1, 2, 2, 0, 3], [1, 2, 2, 2, 0])]
alone = EntityScores(SETS["bio"])
update(alone, [*whole, *cut])
expected = scores(alone)
join()
metric = EntityScores(SETS["bio"])
# The first process has no row in several windows, the second one has nothing else.
update(metric, whole if rank == 0 else cut, cuts=1 if rank == 0 else 3)
assert scores(metric) == expected, (scores(metric), expected)
assert 0 < expected["f1"] < 1
"""


@pytest.mark.slow
def test_two_processes_score_as_one(tmp_path: Path) -> None:
    run_both(SHARED, __file__, tmp_path)


TAGS = TagSet(tags_of(["person", "place"], "bio"), "bio")
OUT, B_PERSON, I_PERSON, B_PLACE = range(4)


def batch() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Two windows of one row, and a row that is alone."""
    logits = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor(
        [[-100, 0, -100, 1, -100, -100], [-100, 2, 0, -100, -100, -100], [-100, 3, 4, 0, 0, -100]]
    )
    return logits, {
        "labels": labels,
        "row": torch.tensor([0, 0, 1]),
        "index": torch.arange(3),
    }


def test_only_labelled_tokens_are_learned_and_compared() -> None:
    task = Ner(TAGS.labels)
    logits, rows = batch()
    at = [(0, 1), (0, 3), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (2, 4)]
    picked = torch.stack([logits[place] for place in at])
    labels = torch.tensor([0, 1, 2, 0, 3, 4, 0, 0])
    assert torch.equal(task.comparable(logits, rows), picked)
    found = task.comparable_labels(rows)
    assert found is not None
    assert torch.equal(found, labels)
    assert float(task.loss(logits, rows["labels"])) == pytest.approx(
        float(F.cross_entropy(picked, labels))
    )


def test_padding_changes_no_loss() -> None:
    task = Ner(TAGS.labels)
    logits, rows = batch()
    wider = F.pad(logits, (0, 0, 0, 7), value=9.0)
    labels = F.pad(rows["labels"], (0, 7), value=-100)
    assert torch.equal(task.loss(wider, labels), task.loss(logits, rows["labels"]))


def test_right_logits_score_one() -> None:
    task = Ner(TAGS.labels)
    _, rows = batch()
    metrics = task.metrics()
    right = F.one_hot(rows["labels"].clamp(min=0), 5).float()
    task.observe(metrics, right, rows)
    scores = metrics.compute()
    assert scores["f1"] == scores["f1_person"] == scores["f1_place"] == scores["macro_f1"] == 1
    assert set(scores) == {
        *("precision", "recall", "f1", "macro_f1", "lenient_f1"),
        *(
            f"{score}_{kind}"
            for score in ("precision", "recall", "f1")
            for kind in task.tag_set.types
        ),
    }


def test_what_is_no_task() -> None:
    with pytest.raises(DataError, match=r"task\.labels: scheme bioes: 'E-person' is missing"):
        Ner(TAGS.labels, scheme="bioes")


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


def analysis_of(split: TaggedSplit, tokenizer: Any) -> EntityAnalysis:
    rows = split.encode(tokenizer, max_length=16)
    return Ner(TAGS.labels).analysis(split, rows, tokenizer)


@pytest.fixture
def found(tokenizer: Any) -> EntityAnalysis:
    """Four rows; the student is surer of the second row than of the first."""
    words = [["film"] * len(row) for row in TRUE]
    made = analysis_of(tagged("test", words, TRUE, TAGS), tokenizer)
    for name, tags in PREDICTED.items():
        flat = np.concatenate(tags)
        sure = np.full((len(flat), 5), 0.05, np.float32)
        sure[np.arange(len(flat)), flat] = 0.8
        sure[5, flat[5]] = 0.9
        made.outputs[name] = sure
    return made


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


def short_and_long() -> TaggedSplit:
    """Short rows and one of several windows."""
    long = ["good", "film"] * 12 + ["Ann", "Lee"]
    words = [["Ann", "sings"], long, ["in", "Rome", "."], ["Lee"]]
    tags = [[B_PERSON, OUT], [OUT] * 24 + [B_PERSON, I_PERSON], [OUT, B_PLACE, OUT], [B_PERSON]]
    return tagged("test", words, tags, TAGS, stride=4)


def test_words_are_kept_in_the_order_of_the_data(tokenizer: Any, tmp_path: Path) -> None:
    rows_of = short_and_long()
    rows = rows_of.encode(tokenizer, max_length=16)
    found = analysis_of(rows_of, tokenizer)
    by_row = [found.targets[found.row_of_token == row].tolist() for row in range(4)]
    # "sings" is one unit of two pieces, and every unit stands once, whatever the windows.
    assert by_row == rows_of.labels
    task, metrics = Ner(TAGS.labels), Ner(TAGS.labels).metrics()
    keep = found.keeper("x", task, rows)
    assert keep is not None
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((len(rows), 16, 5), generator=generator)
    for own in make_loader(rows, 3, seed=0, shuffle=False):  # by length, not in the rows' order
        part = logits[own["index"]][:, : own["input_ids"].shape[1]]
        task.observe(metrics, part, own)
        keep(part.numpy(), own)
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
