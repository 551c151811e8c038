"""Loss, rows to compare and metrics of question answering, against their formulas."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.text import SQuAD
from transformers import AutoTokenizer

from distill.data.batches import make_loader
from distill.tasks.qa.task import QuestionAnswering
from distill.tasks.qa.windows import QuestionSplit, window
from distill.text.spans import answer, window_spans

LONG = " ".join(f"the {word} film was {word} too" for word in ("good", "bad", "dull", "fine") * 5)


def questions(number=8):
    answers = []
    for index in range(number):
        start = LONG.index("film", 30 * index)
        answers.append(() if index % 4 == 3 else ((LONG[start : start + 4 + 5 * index], start),))
    return QuestionSplit(
        "validation",
        [f"what was {word}?" for word in ("good", "bad", "dull", "fine") * 2][:number],
        answers,
        [LONG[: 200 + 50 * index] for index in range(number)],
        ids=[str(index) for index in range(number)],
        stride=8,
    )


@pytest.fixture
def rows(tiny_bert):
    return window(questions(), AutoTokenizer.from_pretrained(tiny_bert()), max_length=32)


def draw(batch, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((*batch["input_ids"].shape, 2), generator=generator) * 3


def test_the_loss_is_transformers_own_once_other_tokens_are_out_of_the_way(rows, tiny_bert):
    task = QuestionAnswering()
    [batch] = make_loader(rows, 64, seed=0, shuffle=False)
    logits = draw(batch)
    starts = torch.tensor(rows.spans[batch["index"], 0], dtype=torch.int64)
    ends = torch.tensor(rows.spans[batch["index"], 1], dtype=torch.int64)
    hidden = logits.masked_fill(batch["labels"].unsqueeze(-1) < 0, -1e9)
    expected = sum(
        -(torch.log_softmax(hidden[:, :, side], dim=1)[torch.arange(len(places)), places]).mean()
        for side, places in ((0, starts), (1, ends))
    )
    assert task.loss(logits, batch["labels"]).item() == pytest.approx(expected.item() / 2, rel=1e-5)
    loud = logits + 50.0 * (batch["labels"].unsqueeze(-1) < 0)
    assert task.loss(loud, batch["labels"]).equal(task.loss(logits, batch["labels"]))


def test_rows_to_compare_are_starts_then_ends(rows):
    task = QuestionAnswering()
    [batch] = make_loader(rows, 64, seed=0, shuffle=False)
    logits = draw(batch)
    compared = task.comparable(logits, batch)
    size, length = batch["input_ids"].shape
    assert compared.shape == (2 * size, length)
    inside = batch["labels"] >= 0
    for half, side in ((compared[:size], 0), (compared[size:], 1)):
        assert half[inside].equal(logits[:, :, side][inside])
        assert (half[~inside] == -1e4).all()
    places = task.comparable_labels(batch)
    assert places[:size].tolist() == rows.spans[batch["index"], 0].tolist()
    assert places[size:].tolist() == rows.spans[batch["index"], 1].tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("no_answer", [False, True])
def test_metrics_are_those_of_the_answers_that_are_given(rows, batch_size, no_answer):
    """Windows in any order and batches: the same as answering each question and asking SQuAD."""
    task = QuestionAnswering(no_answer=no_answer, max_answer_length=5)
    metrics, oracle = task.metrics(), SQuAD()
    windows = {index: [] for index in range(len(rows.split))}
    found = {}
    for batch in make_loader(rows, batch_size, seed=1, shuffle=True):
        generator = [torch.Generator().manual_seed(int(index)) for index in batch["index"]]
        length = batch["input_ids"].shape[1]
        logits = torch.stack([torch.randn(length, 2, generator=g) for g in generator]) * 3
        task.observe(metrics, logits, batch)
        for index, asked, own in zip(batch["index"], batch["asked"], logits, strict=True):
            found[int(index)] = window_spans(
                own.numpy(), asked.first, asked.chars, max_answer=5, count=5
            )
    for index, spans in sorted(found.items()):
        windows[int(rows.rows[index])].append(spans)
    for row, own in windows.items():
        told = answer(rows.split.contexts[row], own, task.decoding)
        golds = [text for text, _ in rows.split.answers[row]] or [""]
        oracle.update(
            [{"id": str(row), "prediction_text": told["answer"]}],
            [{"id": str(row), "answers": {"text": golds, "answer_start": [0] * len(golds)}}],
        )
    scores, expected = metrics.compute(), oracle.compute()
    assert float(scores["em"]) == pytest.approx(float(expected["exact_match"]) / 100)
    assert float(scores["f1"]) == pytest.approx(float(expected["f1"]) / 100)
    assert set(scores) == {"em", "f1"}
