"""Sentence vectors: the loss, scores of pairs and of searches, what is read, floor, whitening."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.metrics import ndcg_score

from distill.recipe.schema import DataConfig
from distill.system.errors import DataError, ModelError
from distill.tasks import make_task
from distill.tasks.load import load_task_data
from distill.tasks.measures import ndcg, numbered, recall
from distill.tasks.vectors.config import VectorsTask
from distill.tasks.vectors.data import VectorSplit
from distill.tasks.vectors.finish import Whitening, fit_whitening
from distill.tasks.vectors.scores import PairCorrelation
from distill.tasks.vectors.task import RetrievalFloor, Vectors, cosent_loss


def test_cosent_written_out() -> None:
    torch.manual_seed(0)
    vectors, given = torch.randn(8, 5), torch.tensor([0.0, 3.0, 3.0, 1.0])
    cosines = [
        float(F.cosine_similarity(vectors[2 * k], vectors[2 * k + 1], dim=0)) for k in range(4)
    ]
    wrong = [
        math.exp(20 * (cosines[j] - cosines[i]))
        for i in range(4)
        for j in range(4)
        if given[i] > given[j]
    ]
    found = cosent_loss(vectors, given.repeat_interleave(2))
    assert float(found) == pytest.approx(math.log(1 + sum(wrong)), rel=1e-5)
    # Only the order of the similarities counts.
    other = cosent_loss(vectors, (10 * given - 5).repeat_interleave(2))
    assert float(other) == pytest.approx(float(found))


def test_rows_without_similarities_are_refused() -> None:
    with pytest.raises(DataError, match="pairs with a score"):
        cosent_loss(torch.randn(4, 2), torch.full((4,), math.nan))
    with pytest.raises(DataError, match="pairs with a score"):
        cosent_loss(torch.randn(3, 2), torch.ones(3))


def test_what_a_recipe_makes_of_it() -> None:
    config = VectorsTask(kind="vectors", pooling="cls", metric="pearson", whitening=8)
    task = make_task(config, ())
    assert isinstance(task, Vectors)
    assert (task.primary, task.config.whitening) == ("pearson", 8)
    assert task.settings == {"pooling": "cls", "normalize": True}
    assert set(task.metrics()) == {"spearman", "pearson"}


def rows(pairs: int = 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    given = (torch.rand(pairs) * 10).round() / 2  # with ties
    return torch.randn(2 * pairs, 6), torch.arange(2 * pairs), given.repeat_interleave(2)


def test_against_scipy_in_any_batches() -> None:
    vectors, numbers, given = rows()
    metrics = Vectors().metrics()
    order = torch.randperm(40)
    for part in order.split(7):
        metrics.update(vectors[part], numbers[part], given[part])
    assert all(metric.update_called for metric in metrics.values())
    found = {name: float(value) for name, value in metrics.compute().items()}
    unit = vectors.numpy() / np.linalg.norm(vectors.numpy(), axis=1, keepdims=True)
    cosines = (unit[::2] * unit[1::2]).sum(axis=1)
    assert found["spearman"] == pytest.approx(stats.spearmanr(cosines, given[::2])[0], abs=1e-6)
    assert found["pearson"] == pytest.approx(stats.pearsonr(cosines, given[::2])[0], abs=1e-6)
    metrics.reset()
    metrics.update(vectors[:8], numbers[:8], given[:8])
    assert float(metrics.compute()["spearman"]) != found["spearman"]


def test_half_a_pair_is_told() -> None:
    vectors, numbers, given = rows()
    metric = PairCorrelation("spearman")
    metric.update(vectors[:3], numbers[:3], given[:3])
    with pytest.raises(DataError, match="whole"):
        metric.compute()
    metric.reset()
    metric.update(vectors[1:3], numbers[1:3], given[1:3])
    with pytest.raises(DataError, match="whole"):
        metric.compute()


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


def cone(count: int = 400, width: int = 8) -> np.ndarray:
    draw = np.random.default_rng(1)
    mixed = draw.normal(size=(count, width)) @ draw.normal(size=(width, width))
    return (mixed + 5 * draw.normal(size=width)).astype(np.float32)


@pytest.mark.parametrize("dimensions", [8, 3])
def test_mean_and_covariance(dimensions: int) -> None:
    vectors = cone()
    white = fit_whitening(vectors, dimensions)(vectors)
    assert white.shape == (400, dimensions)
    assert white.dtype == np.float32
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(white.T @ white / 400, np.eye(dimensions), atol=1e-3)


def test_the_directions_kept_are_those_of_the_largest_variance() -> None:
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(500, 3)) * [1.0, 10.0, 3.0]
    kernel = fit_whitening(vectors, 2).kernel
    assert np.abs(kernel).argmax(axis=0).tolist() == [1, 2]
    assert (kernel.max(axis=0) > 0).all()


def test_the_file(tmp_path: Path) -> None:
    whitening = fit_whitening(cone(), 4)
    path = tmp_path / "whitening.npz"
    whitening.write(path)
    again = Whitening.read(path)
    np.testing.assert_array_equal(again.kernel, whitening.kernel)
    np.testing.assert_array_equal(again.mean, whitening.mean)
    first = path.read_bytes()
    whitening.write(path)
    assert path.read_bytes() == first


def test_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "whitening.npz"
    with pytest.raises(ModelError, match="missing"):
        Whitening.read(path)
    path.write_bytes(b"PK not a zip")
    with pytest.raises(ModelError, match="not readable"):
        Whitening.read(path)
    np.savez(path, mean=np.zeros(3), kernel=np.zeros((4, 2)))
    with pytest.raises(ModelError, match="not a whitening"):
        Whitening.read(path)
    np.savez(path, mean=np.array([object()]), kernel=np.zeros((1, 1)))
    with pytest.raises(ModelError, match="not readable"):
        Whitening.read(path)


def test_too_many_dimensions() -> None:
    with pytest.raises(DataError, match="that have 8; write 8 or fewer"):
        fit_whitening(cone(), 9)
    with pytest.raises(DataError, match="span only 4"):
        fit_whitening(cone(count=5), 6)
