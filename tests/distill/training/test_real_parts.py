"""The training with the real data room and the real teacher cache, end to end on tiny models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from distill.data.split import Split
from distill.data.tokenized import tokenize
from distill.recipe.schema import TrainConfig
from distill.tasks.classification.task import Classification
from distill.training.distill import DistillModule
from distill.training.finetune import FinetuneModule
from distill.training.fit import fit
from teachers.cache import cached_logits
from teachers.load import load_model, load_tokenizer


def test_teacher_then_student(
    tiny: ModuleType,
    tiny_bert: Callable[..., Path],
    sentences: tuple[list[str], list[int]],
    tmp_path: Path,
) -> None:
    folder = tiny_bert(layers=4)
    texts, labels = sentences
    rows = tokenize(
        Split(texts=texts, pairs=None, labels=labels, name="train"),
        load_tokenizer(folder),
        max_length=32,
    )
    task = Classification(("negative", "positive"))
    train = TrainConfig(epochs=8, batch_size=8, lr=3e-3)
    taught = FinetuneModule(load_model(folder), task, train=train)
    result = fit(taught, rows, validation=rows, session=tiny.session(tmp_path / "teacher"))
    assert result.best_score is not None
    assert result.best_score > 0.9
    logits = cached_logits(taught.model, rows, precision="fp32")
    objectives = ["attention", "logits"]
    student = load_model(tiny_bert(layers=2, seed=1))
    module = DistillModule(
        taught.model, student, objectives, train=train, task=task, teacher_logits=logits
    )
    result = fit(module, rows, validation=rows, session=tiny.session(tmp_path / "student"))
    assert result.best_score is not None
    assert result.best_score > 0.9
