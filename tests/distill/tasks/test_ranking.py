"""Rankings: measures, losses, lists that stay together, and the rows that make them."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import ndcg_score
from two_processes import run_both

from distill.capture.signals import ABSENT
from distill.data.batches import GroupSampler
from distill.objectives.logits import logits_loss
from distill.recipe.schema import DataConfig
from distill.system.errors import DataError
from distill.tasks.load import load_task_data
from distill.tasks.measures import ndcg, reciprocal_rank
from distill.tasks.ranking.config import RankingTask
from distill.tasks.ranking.task import Ranking, RankingAnalysis

RELEVANT = [0.0, 2.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("scores", [[0.1, 0.9, 0.3, 0.4, 0.2], [1, 1, 1, 0, 1], [0, 0, 0, 0, 0]])
def test_equal_scores_count_as_the_mean_over_their_orders(scores: list[float]) -> None:
    true, own = np.array(RELEVANT), np.array(scores, dtype=float)
    assert ndcg(own, true) == pytest.approx(ndcg_score([true], [own], k=10))
    orders = [
        np.array(order)
        for order in itertools.permutations(range(5))
        if all(own[a] >= own[b] for a, b in itertools.pairwise(order))
    ]
    ranks = [1 / (1 + int(np.argmax(true[order] > 0))) for order in orders]
    assert reciprocal_rank(own, true) == pytest.approx(np.mean(ranks))


def test_measures_look_at_ten_places_and_at_no_luck() -> None:
    true = np.zeros(30)
    true[10] = 1
    falling = -np.arange(30.0)
    assert ndcg(falling, true) == reciprocal_rank(falling, true) == 0
    alike = np.zeros(30)
    assert reciprocal_rank(alike, true) == pytest.approx(sum(1 / k for k in range(1, 11)) / 30)
    assert ndcg(np.full(30, math.nan), true) == ndcg(alike, true)
    assert ndcg(falling, np.zeros(30)) == reciprocal_rank(falling, np.zeros(30)) == 0


def batch(sizes: list[int], *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Candidates of some queries, in no order."""
    draw = torch.Generator().manual_seed(seed)
    query = torch.repeat_interleave(torch.arange(len(sizes)) * 7 + 3, torch.tensor(sizes))
    relevance = torch.randint(0, 3, (len(query),), generator=draw)
    labels = torch.stack([relevance, query], dim=1).double()
    order = torch.randperm(len(query), generator=draw)
    return {"labels": labels[order], "index": torch.arange(len(query))[order]}


def test_losses_are_those_of_each_query_by_itself() -> None:
    """Each against its formula over lists that are not filled up."""
    task, own = Ranking(), batch([4, 1, 3])
    student, teacher = torch.randn(2, 8, 1, generator=torch.Generator().manual_seed(1))
    queries = own["labels"][:, 1].unique()
    lists = [own["labels"][:, 1] == query for query in queries]
    kl, margins, soft = [], [], []
    for there in lists:
        s, t, y = student[there, 0], teacher[there, 0], own["labels"][there, 0]
        kl.append(4 * F.kl_div((s / 2).log_softmax(0), (t / 2).softmax(0), reduction="sum"))
        if y.sum() > 0:
            soft.append(-((y / y.sum()).float() * s.log_softmax(0)).sum())
        margins += [
            ((s[i] - s[j]) - (t[i] - t[j])) ** 2
            for i, j in itertools.product(range(len(y)), repeat=2)
            if y[i] > y[j]
        ]
    compared = [task.comparable(one, own) for one in (student, teacher)]
    labels = task.comparable_labels(own)

    def of(**options: Any) -> float:
        return float(logits_loss(*compared, labels=labels, **options))

    assert of(loss="mse") == pytest.approx(float(F.mse_loss(student, teacher)), rel=1e-5)
    assert of(loss="kl", temperature=2.0) == pytest.approx(float(torch.stack(kl).mean()), rel=1e-4)
    assert of(loss="margin_mse") == pytest.approx(float(torch.stack(margins).mean()), rel=1e-5)
    wanted = float(torch.stack(soft).mean())
    assert float(task.loss(student, own["labels"])) == pytest.approx(wanted, rel=1e-5)
    hard = of(loss="margin_mse", hard_weight=1.0, hard_loss=task.hard_loss)
    assert hard == pytest.approx(wanted, rel=1e-5)
    bce = float(Ranking(loss="bce").loss(student, own["labels"]))
    target = (own["labels"][:, 0] > 0).float()
    expected = F.binary_cross_entropy_with_logits(student[:, 0], target)
    assert bce == pytest.approx(float(expected), rel=1e-5)


def test_what_is_added_to_all_logits_of_a_query_moves_no_list_but_the_pointwise_loss() -> None:
    task, own = Ranking(), batch([3, 4])
    logits = torch.randn(7, 1)
    lists = [task.comparable(one, own) for one in (logits + 5, logits)]
    labels = task.comparable_labels(own)
    assert float(logits_loss(*lists, loss="margin_mse", labels=labels)) == pytest.approx(
        0, abs=1e-9
    )
    assert float(logits_loss(*lists, loss="kl")) == pytest.approx(0, abs=1e-5)
    assert float(logits_loss(*lists, loss="mse")) == pytest.approx(25, rel=1e-5)  # raw, no sigmoid
    assert (lists[0] == ABSENT).sum() == 1


def test_a_query_stays_in_one_batch_on_one_process() -> None:
    sizes = [3, 1, 5, 2, 4, 3, 2, 6]
    queries = np.repeat(np.arange(8), sizes)
    lengths = np.random.default_rng(0).integers(5, 30, len(queries))
    starts = np.cumsum([0, *sizes[:-1]])

    def order(rank: int = 0, world: int = 1) -> list[list[int]]:
        sampler = GroupSampler(lengths, starts, 4, seed=1, rank=rank, world=world)
        sampler.set_epoch(2)
        return list(sampler)

    whole = order()
    assert sorted(itertools.chain(*whole)) == list(range(len(queries)))
    for own in whole:
        for query in set(queries[own].tolist()):
            assert np.flatnonzero(queries == query).tolist() == [
                row for row in own if queries[row] == query
            ]
    for both, one, other in zip(whole, order(0, 2), order(1, 2), strict=True):
        assert sorted(both) == sorted(one + other)
        assert not set(queries[one].tolist()) & set(queries[other].tolist())


def read(folder: Path, rows: list[dict[str, Any]], task: Any = None, **columns: Any) -> Any:
    for name, own in (("train", rows), ("dev", ROWS)):
        text = "".join(f"{json.dumps({**dict.fromkeys(columns.values()), **row})}\n" for row in own)
        (folder / f"{name}.jsonl").write_text(text, "utf-8")
    if columns:
        (folder / "dev.jsonl").write_text((folder / "train.jsonl").read_text("utf-8"), "utf-8")
    files = {"train": f"{folder}/train.jsonl", "validation": f"{folder}/dev.jsonl"}
    data = DataConfig.model_validate({"source": "files", **files, "columns": columns})
    config = RankingTask.model_validate({"kind": "ranking", **(task or {})})
    return load_task_data(data, config, seed=0)


ROWS: list[dict[str, Any]] = [
    {"query": "a", "candidates": "one", "label": 0},
    {"query": "b", "candidates": ["x", "y", "z"], "label": [0, 1, 2]},
    {"query": "a", "candidates": "two", "label": True},
    {"query": "a", "candidates": "two", "label": "1"},
]


def test_rows_of_one_query_make_its_list(tmp_path: Path) -> None:
    train = read(tmp_path, ROWS).train
    assert list(train.texts) == ["a", "b"]
    assert list(train.candidates) == [("one", "two"), ("x", "y", "z")]
    assert list(train.labels) == [(0.0, 1.0), (0.0, 1.0, 2.0)]
    pairs = train.in_pairs()
    assert list(zip(pairs.texts, pairs.pairs, pairs.labels, strict=True))[1:3] == [
        ("a", "two", 1.0), ("b", "x", 0.0)
    ]  # fmt: skip


def test_ids_make_queries_and_places_say_what_is_relevant(tmp_path: Path) -> None:
    rows = [
        {"query": "a", "q": 1, "candidates": ["x", "y"], "best": 1},
        {"query": "a", "q": 2, "candidates": '["u", "v", "w"]', "best": [0, 2]},
        {"query": "a", "q": 2, "candidates": "[t]", "best": []},
    ]
    train = read(tmp_path, rows, query_id="q", relevant="best").train
    assert list(train.candidates) == [("x", "y"), ("u", "v", "w", "[t]")]
    assert list(train.labels) == [(0.0, 1.0), (1.0, 0.0, 1.0, 0.0)]


def test_long_lists_of_training_keep_the_most_relevant(tmp_path: Path) -> None:
    rows = [{"query": "a", "candidates": list("abcde"), "label": [0, 0, 0, 2, 1]}]
    data = read(tmp_path, rows, {"train_candidates": 3})
    assert list(data.train.candidates) == [("a", "d", "e")]
    assert any("task.train_candidates, 3" in note for note in data.notes)
    assert "nothing is learned" not in "".join(data.notes)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"label": [0]}, "2 candidates, but 1 numbers"),
        ({"label": [0, -1]}, "holds -1; a relevance is a number, 0 or more"),
        ({"label": [0, math.nan]}, "holds nan"),
        ({"label": [0, "very"]}, "holds 'very'"),
        ({"label": None}, "2 candidates, but 1 numbers"),
        ({"candidates": []}, "an empty list; a query needs candidates"),
        ({"candidates": ["x", 3]}, "candidate 1 in column 'candidates' holds int"),
        ({"candidates": ["x", " "]}, "candidate 1 in column 'candidates' is empty"),
        ({"candidates": {"a": 1}}, "holds dict instead of text"),
        ({"query": ""}, "column 'query' is empty"),
        ({"candidates": ["x", "x"]}, "the candidate 'x' has the relevance 1, and 0 elsewhere"),
    ],
)
def test_bad_rows_are_named_by_their_line(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    good = {"query": "q", "candidates": ["x", "y"], "label": [0, 1]}
    with pytest.raises(DataError, match=r"train\.jsonl:2: ") as error:
        read(tmp_path, [good, {**good, "query": "other", **row}])
    assert said in str(error.value)


def test_places_and_ids_are_checked(tmp_path: Path) -> None:
    row = {"query": "a", "q": 1, "candidates": ["x", "y"], "best": 2}
    with pytest.raises(DataError, match=r"train.jsonl:1: .* holds 2; .* places, 0 to 1"):
        read(tmp_path, [row], query_id="q", relevant="best")
    two = [row | {"best": 0}, {**row, "query": "b", "best": 0}]
    with pytest.raises(DataError, match=r"train.jsonl:2: the query id 1 is that of another query"):
        read(tmp_path, two, query_id="q", relevant="best")
    with pytest.raises(DataError, match="no query has candidates of unlike relevance"):
        read(tmp_path, [row | {"best": []}], query_id="q", relevant="best")


def test_the_first_candidate_decides_who_is_right_and_ties_do_not_help(tmp_path: Path) -> None:
    split = read(tmp_path, ROWS).validation
    task = Ranking(metric="mrr@10")
    analysis = RankingAnalysis(task, split)
    index = np.arange(5)
    for model, scores in {"teacher": [0, 1, 0, 0, 1], "student": [0, 0, 0, 1, 0]}.items():
        keep = analysis.keeper(model, task, None)  # type: ignore[arg-type]
        assert keep is not None
        keep(np.array(scores, dtype=np.float32)[:, None], {"index": index})
    assert analysis.right("teacher").tolist() == [True, True]
    assert analysis.right("student").tolist() == [False, False]
    scorer = analysis.scorer("student")
    assert scorer is not None
    assert scorer(np.ones((1, 2)))[0] == pytest.approx((0.75 + 1) / 2)
    assert analysis.prediction("student", 1) == {
        "prediction": "y", "confidence": None, "right": False
    }  # fmt: skip
    assert analysis.example(1)["label"] == "z"


SHARED = """
from test_ranking import batch
from distill.objectives.logits import logits_loss
from distill.tasks.ranking.task import Ranking

whole = batch([4, 1, 3, 6])
student, teacher = torch.randn(2, 14, 1, generator=torch.Generator().manual_seed(1))

def found(there, world):
    task, total = Ranking(), {}
    own = {name: values[there] for name, values in whole.items()}
    logits = student[there].requires_grad_()
    pair = [task.comparable(one, own) for one in (logits, teacher[there])]
    labels = task.comparable_labels(own)
    losses = [task.loss(logits, own["labels"]), Ranking(loss="bce").loss(logits, own["labels"])]
    for loss in ("kl", "mse", "margin_mse"):
        losses.append(logits_loss(*pair, loss=loss, labels=labels))
    gradient = torch.zeros(14)
    gradient[there] = torch.autograd.grad(sum(losses), logits)[0][:, 0] / world
    metrics = task.metrics()
    task.observe(metrics, logits, own)
    return torch.stack(losses).detach() / world, gradient, metrics

alone, expected, metrics = found(torch.ones(14, dtype=bool), 1)
scores = metrics.compute()
join()
# The lists of the first two queries on one process, of the others on the second.
first = whole["labels"][:, 1] <= 10
losses, gradient, metrics = found(first if rank == 0 else ~first, 2)
for one in (losses, gradient):
    distributed.all_reduce(one)
assert torch.allclose(losses, alone, atol=1e-5), (losses, alone)
assert torch.allclose(gradient, expected, atol=1e-5), (gradient, expected)
assert metrics.compute() == scores, (metrics.compute(), scores)
"""


@pytest.mark.slow
def test_two_processes_learn_and_score_as_one(tmp_path: Path) -> None:
    run_both(SHARED, __file__, tmp_path)
