"""The loss of ordered pairs, written out; what is observed of a batch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill.system.errors import DataError
from distill.tasks import make_task
from distill.tasks.load import load_task_data
from distill.tasks.vectors.config import VectorsTask
from distill.tasks.vectors.task import Vectors, cosent_loss


def test_cosent_written_out() -> None:
    torch.manual_seed(0)
    vectors, given = torch.randn(8, 5), torch.tensor([0.0, 3.0, 3.0, 1.0])
    cosines = [
        float(F.cosine_similarity(vectors[2 * k], vectors[2 * k + 1], dim=0)) for k in range(4)
    ]
    total = 1.0
    for i in range(4):
        for j in range(4):
            if given[i] > given[j]:
                total += math.exp(20 * (cosines[j] - cosines[i]))
    found = cosent_loss(vectors, given.repeat_interleave(2))
    assert float(found) == pytest.approx(math.log(total), rel=1e-5)
    # Only the order of the similarities counts.
    other = cosent_loss(vectors, (10 * given - 5).repeat_interleave(2))
    assert float(other) == pytest.approx(float(found))


def test_training_mends_the_order() -> None:
    torch.manual_seed(1)
    vectors = torch.randn(20, 6, requires_grad=True)
    given = torch.arange(10.0).repeat_interleave(2)
    task = Vectors()
    optimizer = torch.optim.SGD([vectors], lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        task.loss(vectors, given).backward()
        optimizer.step()
    metrics = task.metrics()
    task.observe(metrics, vectors.detach(), {"index": torch.arange(20), "labels": given})
    assert float(metrics.compute()["spearman"]) > 0.99


def test_rows_without_similarities_are_refused() -> None:
    with pytest.raises(DataError, match="pairs with a score"):
        cosent_loss(torch.randn(4, 2), torch.full((4,), math.nan))
    with pytest.raises(DataError, match="pairs with a score"):
        cosent_loss(torch.randn(3, 2), torch.ones(3))


def test_what_a_recipe_makes_of_it() -> None:
    config = VectorsTask(kind="vectors", pooling="cls", metric="pearson", whitening=8)
    task = make_task(config, ())
    assert isinstance(task, Vectors)
    assert (task.primary, task.whitening) == ("pearson", 8)
    assert task.settings == {"pooling": "cls", "normalize": True}
    assert set(task.metrics()) == {"spearman", "pearson"}


@pytest.mark.slow
def test_a_search_goes_from_recipe_to_int8_bundle(
    tmp_path: Path, tiny_bert: Any, sentences: Any, exported_once: Any
) -> None:
    from distill.pipeline.runner import run
    from distill.recipe.loader import load_recipe
    from distill.runtime import load
    from distill.tasks.ranking.measures import ndcg

    texts = sentences[0]
    rows = [
        {"q": f"film {n}", "c": texts[n : n + 12], "y": [int(k == n % 12) for k in range(12)]}
        for n in range(40)
    ]
    for name, own in (("train", rows[:24]), ("validation", rows[24:])):
        lines = "".join(f"{json.dumps(row)}\n" for row in own)
        (tmp_path / f"{name}.jsonl").write_text(lines, "utf-8")
    recipe = {
        "recipe": 1,
        "name": "search",
        "task": {"kind": "vectors", "metric": "ndcg@10", "matryoshka": [16]},
        "data": {
            "source": "files",
            "train": str(tmp_path / "train.jsonl"),
            "validation": str(tmp_path / "validation.jsonl"),
            "columns": {"text": "q", "text_pair": "c", "label": "y"},
            "limit_validation": 12,  # queries
        },
        "teacher": {"model": str(tiny_bert())},
        "student": {"size": "1x32/2/64"},
        "baseline": False,
        "stages": [
            {"kind": "distill", "epochs": 1, "objectives": [{"kind": "similarity"}]},
            {"kind": "quantize", "method": "dynamic", "max_drop": 1.0},
            {"kind": "export", "max_drop": 1.0},
            {"kind": "evaluate", "batch_sizes": [1], "lengths": [8], "repeats": 2},
        ],
        "trainer": {"threads": 1, "precision": "fp32"},
    }
    path = tmp_path / "search.yaml"
    path.write_text(json.dumps(recipe), "utf-8")
    results = run(load_recipe(path), tmp_path / "run")
    models = {row["name"]: row for row in results["models"]}
    assert list(models) == ["linear", "teacher", "distill", "onnx", "onnx-int8"]
    names = {"ndcg@10", "mrr@10", "recall@10", "ndcg@10@16"}
    assert set(models["onnx"]["scores"]) == names
    assert models["onnx-int8"]["interval"] is not None
    assert (tmp_path / "run" / "report.html").is_file()
    model = load(tmp_path / "run" / "bundle", format="onnx")
    made = load_recipe(path)
    scored: Any = load_task_data(made.data, made.task, seed=made.seed).validation
    found = []
    for query, own, true in zip(scored.texts, scored.candidates, scored.labels, strict=True):
        cosines = model.similarity([query] * len(own), list(own))
        found.append(ndcg(np.asarray(cosines, dtype=float), np.asarray(true, dtype=float)))
    assert models["onnx"]["score"] == pytest.approx(np.mean(found), abs=1e-3)
