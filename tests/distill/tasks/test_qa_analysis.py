"""Answers that are kept: those of the runtime, with whether they are right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
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
    of_model,
    read_predictions,
    write_analysis,
)
from distill.tasks.qa.analysis import AnswerAnalysis, Answers
from distill.tasks.qa.task import QuestionAnswering
from distill.tasks.qa.windows import QuestionSplit, WindowedDataset, window
from distill.text.spans import answer, window_spans

LONG = " ".join(f"the {word} film was {word} too" for word in ("good", "bad", "dull", "fine") * 5)
COUNT = 6


def questions() -> QuestionSplit:
    answers = []
    for index in range(COUNT):
        start = LONG.index("film", 30 * index)
        answers.append(() if index % 4 == 3 else ((LONG[start : start + 4], start),))
    contexts = [LONG[: 200 + 50 * index] for index in range(COUNT)]
    ids = [f"q{index}" for index in range(COUNT)]
    return QuestionSplit("test", ["what was it?"] * COUNT, answers, contexts, ids=ids, stride=8)


@pytest.fixture
def rows(tiny_bert: Callable[..., Path]) -> WindowedDataset:
    return window(questions(), AutoTokenizer.from_pretrained(tiny_bert()), max_length=32)


def draw(rows: WindowedDataset, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((len(rows), 32, 2), generator=generator) * 3


@pytest.mark.parametrize("no_answer", [False, True])
def test_answers_are_those_of_the_runtime_and_the_metrics(
    rows: WindowedDataset, no_answer: bool, tmp_path: Path
) -> None:
    task = QuestionAnswering(no_answer=no_answer)
    found, metrics, logits = AnswerAnalysis(task, questions()), task.metrics(), draw(rows, 0)
    keep = found.keeper("x", task, rows)
    assert keep is not None
    for batch in make_loader(rows, 4, seed=0, shuffle=False):
        part = logits[batch["index"]][:, : batch["input_ids"].shape[1]]
        task.observe(metrics, part, batch)
        keep(part.numpy(), batch)
    told = found.answers("x")
    scores = metrics.compute()
    assert told.em.mean() == pytest.approx(float(scores["em"]))
    assert told.f1.mean() == pytest.approx(float(scores["f1"]))
    for row, context in enumerate(questions().contexts):
        spans = []
        for index in np.flatnonzero(rows.rows == row).tolist():
            one = rows[index]["asked"]
            part = logits[index, : rows.lengths[index]].numpy()
            spans.append(window_spans(part, one.first, one.chars, max_answer=30, count=5))
        wanted = answer(context, spans, task.decoding)
        assert (told.starts[row], told.ends[row]) == (wanted["start"], wanted["end"])
        assert told.scores[row] == pytest.approx(wanted["score"], rel=1e-6)
        assert found.texts("x")[row] == wanted["answer"]
    [path] = write_analysis(found, tmp_path)
    back = read_predictions(path)
    assert back.shared["ids"].tolist() == questions().ids
    for name in ("starts", "ends", "scores", "em", "f1"):
        np.testing.assert_array_equal(back.models["x"][name], getattr(told, name))


def made(**models: list[tuple[str, float, bool]]) -> AnswerAnalysis:
    """Models that give these words, so surely, rightly or not, to a question each."""
    context = f"{LONG} the film"
    found = AnswerAnalysis(QuestionAnswering(), replace(questions(), pairs=[context] * COUNT))
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
