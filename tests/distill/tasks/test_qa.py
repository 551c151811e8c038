"""Question answering: how answers are scored, the loss, what is compared, and what is kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.text import SQuAD
from transformers import AutoTokenizer

from distill.data.batches import make_loader
from distill.evaluation.error_analysis import (
    disagreeing,
    disagreement,
    of_model,
    read_predictions,
    write_analysis,
)
from distill.tasks.qa.analysis import AnswerAnalysis, Answers, best_of, normalize
from distill.tasks.qa.task import QuestionAnswering
from distill.tasks.qa.windows import QuestionSplit, WindowedDataset
from distill.text.spans import answer, window_spans

WORDS = ["the", "The", "a", "an", "Eiffel", "tower,", "(1889)", "1889", "in", "Paris.", "-", "été"]
LONG = " ".join(f"the {word} film was {word} too" for word in ("good", "bad", "dull", "fine") * 5)


def squad(pairs: Sequence[tuple[str, Sequence[str]]]) -> tuple[float, float]:
    """Exact match and F1 of answers with their golds by torchmetrics, a transcription of SQuAD's.

    A gold answer without words is one of SQuAD 2's own rules, which it lacks.
    """
    metric = SQuAD()
    for number, (text, golds) in enumerate(pairs):
        metric.update(
            [{"id": str(number), "prediction_text": text}],
            [{"id": str(number), "answers": {"text": [*golds], "answer_start": [0] * len(golds)}}],
        )
    found = metric.compute()
    return float(found["exact_match"]) / 100, float(found["f1"]) / 100


def test_scores_are_those_of_the_official_script() -> None:
    draw = random.Random(0)
    for _ in range(300):
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 5)))
        golds = [" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) for _ in range(3)]
        golds = [gold for gold in golds if normalize(gold)] or ["Paris"]
        assert best_of(text, golds) == pytest.approx(squad([(text, golds)])), (text, golds)


@pytest.mark.parametrize(
    ("text", "golds", "em", "score"),
    [
        ("the Eiffel Tower", ("Eiffel tower!",), 1.0, 1.0),
        ("Paris, France", ("Paris",), 0.0, 2 / 3),
        ("Rome", ("Paris",), 0.0, 0.0),
        ("", ("Paris",), 0.0, 0.0),
        # A right answer without words, or none, wants the empty text.
        ("", ("",), 1.0, 1.0),
        ("the", ("",), 1.0, 1.0),
        ("", (), 1.0, 1.0),
        ("Paris", (), 0.0, 0.0),
    ],
)
def test_by_hand(text: str, golds: tuple[str, ...], em: float, score: float) -> None:
    assert best_of(text, golds) == pytest.approx((em, score))


def questions(count: int = 8) -> QuestionSplit:
    answers = []
    for index in range(count):
        start = LONG.index("film", 30 * index)
        answers.append(() if index % 4 == 3 else ((LONG[start : start + 4 + 5 * index], start),))
    return QuestionSplit(
        "test",
        [f"what was {word}?" for word in ("good", "bad", "dull", "fine") * 2][:count],
        answers,
        [LONG[: 200 + 50 * index] for index in range(count)],
        ids=[f"q{index}" for index in range(count)],
        stride=8,
    )


@pytest.fixture
def rows(tiny_bert: Callable[..., Path]) -> WindowedDataset:
    return questions().encode(AutoTokenizer.from_pretrained(tiny_bert()), max_length=32)


def whole(rows: WindowedDataset) -> tuple[dict[str, Any], torch.Tensor]:
    """All windows in one batch, and logits of them."""
    [batch] = make_loader(rows, 64, seed=0, shuffle=False)
    generator = torch.Generator().manual_seed(0)
    return batch, torch.randn((*batch["input_ids"].shape, 2), generator=generator) * 3


def test_the_loss_is_transformers_own_once_other_tokens_are_out_of_the_way(
    rows: WindowedDataset,
) -> None:
    task = QuestionAnswering()
    batch, logits = whole(rows)
    outside = batch["labels"].unsqueeze(-1) < 0
    logs = torch.log_softmax(logits.masked_fill(outside, -1e9), dim=1)
    places = torch.tensor(rows.spans[batch["index"]], dtype=torch.int64)
    expected = -logs.gather(1, places[:, None]).mean()
    assert task.loss(logits, batch["labels"]).item() == pytest.approx(expected.item(), rel=1e-5)
    loud = logits + 50.0 * outside
    assert task.loss(loud, batch["labels"]).equal(task.loss(logits, batch["labels"]))


def test_rows_to_compare_are_starts_then_ends(rows: WindowedDataset) -> None:
    task = QuestionAnswering()
    batch, logits = whole(rows)
    compared = task.comparable(logits, batch)
    size, length = batch["input_ids"].shape
    assert compared.shape == (2 * size, length)
    inside = batch["labels"] >= 0
    places = task.comparable_labels(batch)
    for side, half in enumerate((slice(size), slice(size, None))):
        assert compared[half][inside].equal(logits[:, :, side][inside])
        assert (compared[half][~inside] == -1e4).all()
        assert places[half].tolist() == rows.spans[batch["index"], side].tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("no_answer", [False, True])
def test_metrics_and_what_is_kept_are_of_the_answers_that_are_given(
    rows: WindowedDataset, batch_size: int, no_answer: bool, tmp_path: Path
) -> None:
    """Windows in any order and batches: the same as answering each question and asking SQuAD."""
    task = QuestionAnswering(no_answer=no_answer, max_answer_length=5)
    metrics, kept = task.metrics(), AnswerAnalysis(task, rows.split)
    keep = kept.keeper("x", task, rows)
    assert keep is not None
    windows: dict[int, Any] = {}
    for batch in make_loader(rows, batch_size, seed=1, shuffle=True):
        draws = [torch.Generator().manual_seed(int(index)) for index in batch["index"]]
        length = batch["input_ids"].shape[1]
        logits = torch.stack([torch.randn(length, 2, generator=draw) for draw in draws]) * 3
        task.observe(metrics, logits, batch)
        keep(logits.numpy(), batch)
        for index, asked, own in zip(batch["index"], batch["asked"], logits.numpy(), strict=True):
            windows[int(index)] = window_spans(own, asked.first, asked.chars, max_answer=5, count=5)
    told = kept.answers("x")
    pairs = []
    for row, context in enumerate(rows.split.contexts):
        own = [windows[index] for index in np.flatnonzero(rows.rows == row).tolist()]
        given = answer(context, own, task.decoding)
        pairs.append((given["answer"], [text for text, _ in rows.split.answers[row]] or [""]))
        assert (told.starts[row], told.ends[row]) == (given["start"], given["end"])
        assert told.scores[row] == pytest.approx(given["score"], rel=1e-6)
        assert kept.texts("x")[row] == given["answer"]
    scores = {name: float(value) for name, value in metrics.compute().items()}
    assert scores == pytest.approx(dict(zip(("em", "f1"), squad(pairs), strict=True)))
    assert (told.em.mean(), told.f1.mean()) == pytest.approx((scores["em"], scores["f1"]))
    [path] = write_analysis(kept, tmp_path)
    back = read_predictions(path)
    assert back.shared["ids"].tolist() == rows.split.ids
    for name in ("starts", "ends", "scores", "em", "f1"):
        np.testing.assert_array_equal(back.models["x"][name], getattr(told, name))


def made(**models: list[tuple[str, float, bool]]) -> AnswerAnalysis:
    """Models that give these words, so surely, rightly or not, to a question each."""
    context = f"{LONG} the film"
    found = AnswerAnalysis(QuestionAnswering(), replace(questions(COUNT), pairs=[context] * COUNT))
    for name, told in models.items():
        starts = [context.index(text) if text else 0 for text, _, _ in told]
        ends = [start + len(text) for start, (text, _, _) in zip(starts, told, strict=True)]
        scores = np.array([score for _, score, _ in told], np.float32)
        right = np.array([right for _, _, right in told], np.float32)
        found.outputs[name] = []
        kept: Any = Answers(
            np.array(starts, np.int32), np.array(ends, np.int32), scores, em=right, f1=right
        )
        found._answers[name] = kept
    return found


COUNT = 6
MODELS = {
    "teacher": [("film", 0.9, True), ("good film", 0.6, False), ("bad", 0.5, False),
                ("", 0.7, True), ("dull", 0.4, False), ("the film", 0.8, True)],
    "model": [("film", 0.7, True), ("film", 0.5, True), ("dull", 0.9, False),
              ("was", 0.3, False), ("dull", 0.6, False), ("film", 0.2, True)],
}  # fmt: skip


def test_where_both_differ_articles_do_not_count() -> None:
    found = made(**MODELS)
    told = disagreement(found, "teacher", "model")
    assert told is not None
    assert told.model_dump() == {
        "model": "model", "rows": 3, "share": 0.5,
        "teacher_right": 1, "model_right": 1, "neither_right": 1,
    }  # fmt: skip
    assert disagreeing(found, "teacher", "model", most=2) == [2, 1]


def test_calibration_is_of_the_answers_probability_and_exactness() -> None:
    told = of_model(made(**MODELS), "model")["calibration"]
    gaps = [0.7 - 1, 0.5 - 1, 0.9, 0.3, 0.6, 0.2 - 1]  # each in a bin of its own
    assert told.ece == pytest.approx(np.abs(gaps).mean(), abs=1e-6)
    assert sum(one.rows for one in told.bins) == COUNT
