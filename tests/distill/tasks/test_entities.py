from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.tasks.ner.task import EntityScores
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
import sys, torch
from torch import distributed
sys.path.insert(0, sys.argv[3])
from test_entities import SETS, scores, update
from distill.tasks.ner.task import EntityScores

rank, place = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
metric = EntityScores(SETS["bio"])
whole, cut = [([0, 1, 2, 0], [0, 1, 2, 0])], [([1, 2, 2, 0, 3], [1, 2, 2, 2, 0])]
# The first process has no row in several windows, the second one has nothing else.
update(metric, whole if rank == 0 else cut, cuts=1 if rank == 0 else 3)
found = scores(metric)
alone = EntityScores(SETS["bio"])
with torch.no_grad():
    update(alone, [*whole, *cut], cuts=1)
alone.dist_sync_fn = lambda tensor, group: [tensor]
alone.distributed_available_fn = lambda: False
assert found == scores(alone), (found, scores(alone))
assert 0 < found["f1"] < 1
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_score_as_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SHARED]
    both = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meet"), str(Path(__file__).parent)])
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
