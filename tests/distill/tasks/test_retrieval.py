"""Search by sentence vectors: every query among all passages, what is read, and the floor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import ndcg_score

from distill.recipe.schema import DataConfig
from distill.system.errors import DataError
from distill.tasks.load import load_task_data
from distill.tasks.measures import ndcg, recall
from distill.tasks.vectors.config import VectorsTask
from distill.tasks.vectors.data import VectorSplit
from distill.tasks.vectors.scores import numbered
from distill.tasks.vectors.task import RetrievalFloor, Vectors

QUERIES = ["open file", "open file", "read line", "close", "sort"]
PASSAGES = ["Opens it.", "Reads one.", "Reads one.", "Ends it.", "Nothing."]
LABELS = [1.0, 0.0, 2.0, 1.0, 0.0]  # "sort" has no relevant passage and is not a query


def _scored(task: Vectors, vectors: torch.Tensor, order: list[int]) -> dict[str, float]:
    texts = [one for pair in zip(QUERIES, PASSAGES, strict=True) for one in pair]
    batch = {
        "index": torch.arange(10),
        "labels": torch.tensor(LABELS).repeat_interleave(2),
        "text": torch.from_numpy(numbered(texts)),
    }
    metrics = task.metrics()
    for part in (order[:3], order[3:]):  # a pair's sentences may come in different batches
        task.observe(metrics, vectors[part], {name: one[part] for name, one in batch.items()})
    return {name: float(one) for name, one in metrics.compute().items()}


def test_every_query_is_looked_for_among_all_passages() -> None:
    torch.manual_seed(3)
    vectors = torch.randn(10, 6)
    vectors[2] = vectors[0]  # equal texts
    vectors[5] = vectors[3]
    found = _scored(
        Vectors(metric="ndcg@10", matryoshka=[2]), vectors, [7, 2, 9, 0, 1, 8, 3, 4, 6, 5]
    )
    passages = vectors[[1, 3, 7, 9]]
    relevance = [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0]]
    for name, width in (("ndcg@10", 6), ("ndcg@10@2", 2)):
        cosines = F.cosine_similarity(
            vectors[[0, 4, 6], None, :width], passages[None, :, :width], dim=-1
        )
        assert found[name] == pytest.approx(ndcg_score(relevance, cosines.numpy()))
    ranks = [1 + int((row > row[np.argmax(own)]).sum()) for row, own in zip(
        F.cosine_similarity(vectors[[0, 4, 6], None], passages[None], dim=-1), relevance,
        strict=True,
    )]  # fmt: skip
    assert found["mrr@10"] == pytest.approx(np.mean([1 / rank for rank in ranks]))
    assert found["recall@10"] == 1.0  # there are four passages


def test_recall_and_long_lists() -> None:
    scores = np.array([3.0, *[2.0] * 12, *[1.0] * 7])
    relevance = np.zeros(20)
    relevance[[0, 1, 19]] = 1
    # The first is found; of twelve that tie for nine places one is relevant; the last is not.
    assert recall(scores, relevance) == pytest.approx((1 + 9 / 12) / 3)
    assert recall(scores, np.zeros(20)) == 0.0
    assert ndcg(scores, relevance) == pytest.approx(ndcg_score([relevance], [scores], k=10))


def _read(folder: Path, rows: list[dict[str, Any]], **columns: str) -> VectorSplit:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    own = {"text": "query", "text_pair": "passage", **columns}
    data = DataConfig.model_validate(
        {"source": "files", "train": str(path), "validation": str(path), "columns": own}
    )
    task = VectorsTask.model_validate({"kind": "vectors", "metric": "mrr@10"})
    found = load_task_data(data, task, seed=0).validation
    assert isinstance(found, VectorSplit)
    return found


def test_pairs_and_lists_are_read(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"query": "a", "passage": ["one", "two"], "label": [1, 0]},
        {"query": "b", "passage": "three", "label": 2},
    ]
    found = _read(tmp_path, rows)
    assert list(found.texts) == ["a", "a", "b"]
    assert list(found.pairs or ()) == ["one", "two", "three"]
    assert list(found.labels) == [1, 0, 2]
    unlabelled = _read(tmp_path, [{"query": "a", "passage": ["one", "two"]}])
    assert list(unlabelled.labels) == [1, 1]
    with pytest.raises(DataError, match="no column 'lable'"):
        _read(tmp_path, [{"query": "a", "passage": "one"}], label="lable")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"passage": ["one", "two"], "label": [1]}, "2 passages in column 'passage', but 1 num"),
        ({"passage": ["one", "two"], "label": 1}, "2 passages in column 'passage', but 1 number"),
        ({"passage": [], "label": []}, "column 'passage' is an empty list"),
        ({"passage": ["one", 3], "label": [1, 0]}, "holds int instead of text"),
        ({"passage": "one", "label": -1}, "a number, 0 or more"),
        ({"passage": "one", "label": None}, "a number, 0 or more"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    good = {"query": "a", "passage": "one", "label": 1}
    with pytest.raises(DataError, match=message) as error:
        _read(tmp_path, [good, {"query": "b", **row}, good])
    assert "rows.jsonl:2" in str(error.value)


def test_without_a_relevant_passage_there_is_no_score(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no passage belongs to its query: all labels are 0"):
        _read(tmp_path, [{"query": "a", "passage": "one", "label": 0}])


def test_the_floor_has_the_cosines_of_tf_idf() -> None:
    split = VectorSplit("validation", QUERIES, LABELS, PASSAGES, retrieves=True)
    floor = RetrievalFloor([*QUERIES, *PASSAGES])
    vectors = floor.on(split, None, None)(np.arange(10), 0)  # type: ignore[arg-type]
    norms = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(norms[::2], 1, atol=1e-6)
    np.testing.assert_allclose(norms[1::2], 2, atol=1e-6)  # four different queries
    whole = floor.features.similarities(QUERIES, PASSAGES)
    np.testing.assert_allclose(vectors[::2] @ vectors[1::2].T, whole, atol=1e-6)
    pairs = floor.features.cosines(QUERIES, PASSAGES)
    np.testing.assert_allclose(np.diag(whole), pairs, atol=1e-6)
