"""Windows of questions: where answers stand, what a batch holds, and the cache."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill.data.batches import make_loader
from distill.system.errors import DataError
from distill.tasks.qa.windows import END, INSIDE, OUTSIDE, START, QuestionSplit

LONG = " ".join(f"the {word} film was {word} too" for word in ("good", "bad", "dull", "fine") * 5)
SHORT = "a good film \U0001f600 by שלום he"


def split(**changes):
    found = {
        "ids": ["long", "short", "none"],
        "texts": ["what was dull?", "who?", "why?"],
        "pairs": [LONG, SHORT, SHORT],
        "labels": [
            (("dull film", LONG.index("dull")), ("dull", LONG.index("dull"))),
            ((" he", SHORT.index(" he")),),
            (),
        ],
        "stride": 8,
    }
    return QuestionSplit("train", **(found | changes))


def test_every_window_knows_its_answer(tokenizer):
    rows = split().encode(tokenizer, max_length=32)
    assert rows.rows.tolist() == [0] * (len(rows) - 2) + [1, 2]
    told = []
    for index in range(len(rows)):
        item = rows[index]
        label, asked = item["labels"], item["asked"]
        size = len(asked.chars)
        inside = [0, *range(asked.first, asked.first + size)]
        assert sorted(np.flatnonzero(label != OUTSIDE)) == inside
        [start] = np.flatnonzero((label >= 0) & (label & START > 0))
        [end] = np.flatnonzero((label >= 0) & (label & END > 0))
        assert len(item["input_ids"]) == rows.lengths[index] <= 32
        if start == 0:
            assert end == 0
            told.append(None)
        else:
            chars = asked.chars[[start - asked.first, end - asked.first]]
            told.append(asked.context[chars[0, 0] : chars[1, 1]])
    # " he" begins with a space that is no token.
    assert told[-2:] == ["he", None]
    assert set(told[:-2]) == {None, "dull film"}


def test_a_batch_holds_what_loss_and_metrics_need(tokenizer):
    rows = split().encode(tokenizer, max_length=32)
    [batch] = make_loader(rows, 64, seed=0, shuffle=False)
    length = batch["input_ids"].shape[1]
    assert batch["labels"].shape == (len(rows), length)
    assert (batch["labels"][batch["attention_mask"] == 0] == OUTSIDE).all()
    assert (batch["labels"][:, 0] >= INSIDE).all()
    assert batch["index"].dtype == torch.int64
    by_window = dict(zip(batch["index"].tolist(), batch["asked"], strict=True))
    assert [by_window[index].question for index in range(len(rows))] == rows.rows.tolist()
    assert by_window[0].answers == ("dull film", "dull")


def test_windows_are_cached_by_text_and_limits_and_read_again(tokenizer, cache):
    first = split().encode(tokenizer, max_length=32)
    again = split(labels=[(), (), ()]).encode(tokenizer, max_length=32)
    assert again.store.folder == first.store.folder
    assert again.digest != first.digest
    assert not again.spans.any()
    assert split(stride=4).encode(tokenizer, max_length=32).store.folder != first.store.folder
    assert split(max_question=9).encode(tokenizer, max_length=32).store.folder != first.store.folder
    before = [first[index]["input_ids"].tolist() for index in range(len(first))]
    (first.store.folder / "ids").write_bytes(b"1234")
    fixed = split().encode(tokenizer, max_length=32)
    assert [fixed[index]["input_ids"].tolist() for index in range(len(fixed))] == before


def test_other_processes_open_the_same_windows(tokenizer):
    rows = split().encode(tokenizer, max_length=32)
    copy = pickle.loads(pickle.dumps(rows))
    assert copy[3]["input_ids"].tolist() == rows[3]["input_ids"].tolist()
    assert copy.spans.tolist() == rows.spans.tolist()


def test_what_was_cut_or_cannot_be_learned_is_told(tokenizer):
    answer = LONG[: len(LONG) // 2]
    rows = split(
        texts=["what was good and bad and dull and fine?", "who?", "why?"],
        labels=[((answer, 0),), (), ()],
        max_question=5,
    ).encode(tokenizer, max_length=32)
    assert rows.truncated == 1
    assert rows.notes(max_length=32, limit=128) == [
        f"3 questions in {len(rows)} windows of their texts",
        "1 questions are cut; task.max_question_length keeps more of them",
        "1 answers do not stand whole in any window, so that nothing is learned from them; raise "
        "task.stride or data.max_length",
    ]


def test_lengths_that_do_not_fit_are_refused(tokenizer):
    with pytest.raises(DataError, match="leave no room for a context"):
        split(stride=20).encode(tokenizer, max_length=32)
    with pytest.raises(DataError, match="model takes at most 128 tokens"):
        split().encode(tokenizer, max_length=256)


def test_rows_are_chosen_with_their_answers():
    chosen = split().take([2, 0])
    assert chosen.ids == ["none", "long"]
    assert chosen.answers[1][1] == ("dull", LONG.index("dull"))
    assert chosen.stride == 8
    assert chosen.digest() != split().digest()
    assert replace(split(), name="x").digest() == split().digest()
