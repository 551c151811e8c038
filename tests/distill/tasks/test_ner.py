from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from distill.system.errors import DataError
from distill.tasks.ner.task import Ner
from distill.text.tags import tags_of

LABELS = tags_of(["person", "place"], "bio")


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
    task = Ner(LABELS)
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
    task = Ner(LABELS)
    logits, rows = batch()
    wider = F.pad(logits, (0, 0, 0, 7), value=9.0)
    labels = F.pad(rows["labels"], (0, 7), value=-100)
    assert torch.equal(task.loss(wider, labels), task.loss(logits, rows["labels"]))


def test_right_logits_score_one() -> None:
    task = Ner(LABELS)
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
        Ner(LABELS, scheme="bioes")
