"""Distillation in a trainer of one's own, and what may not happen to the teacher."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import numpy as np
import pytest
import tiny_training as tiny
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from distill.recipe.schema import TrainConfig, WeightSchedule
from distill.recipe.schema.objectives import HiddenObjective, LogitsObjective
from distill.system.errors import ModelError
from distill.tasks.classification.task import Classification
from distill.training.distill import DistillModule
from distill.training.fit import quiet_lightning

Batch = dict[str, Tensor]
INTERMEDIATE = ["embedding", "attention", "hidden"]


def batches(count: int = 6, size: int = 8, length: int = 12) -> list[Batch]:
    """Plain dicts without ``token_type_ids`` or ``index``, the last tokens padding."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        ids = torch.randint(1, 50, (size, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[: size // 2, length - 3 :] = 0
        labels = (ids[:, 0] > 25).long()
        made.append({"input_ids": ids * mask, "attention_mask": mask, "labels": labels})
    return made


def loader(made: list[Batch]) -> DataLoader[Batch]:
    return DataLoader(made, batch_size=None)  # type: ignore[arg-type]


def own_trainer(folder: Path, **settings: Any) -> L.Trainer:
    given = {
        "accelerator": "cpu",
        "max_epochs": 2,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    return L.Trainer(**(given | settings))


class Losses(L.Callback):
    """The training losses, as the trainer logged them."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.seen.append(float(trainer.callback_metrics["loss"]))


@pytest.fixture
def pair() -> tuple[Any, Any]:
    return tiny.bert(layers=4, hidden=24, heads=2, seed=1), tiny.bert(layers=2, hidden=16, heads=2)


def test_works_in_a_trainer_of_ones_own_and_leaves_the_teacher_alone(
    pair: tuple[Any, Any], tmp_path: Path
) -> None:
    teacher, student = pair
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    first = student.classifier.weight.detach().clone()
    module = DistillModule(
        teacher,
        student,
        [*INTERMEDIATE, "logits"],
        train=TrainConfig(lr=1e-3),
        task=Classification(("no", "yes")),
    )
    trainer = own_trainer(tmp_path, enable_checkpointing=True)
    with quiet_lightning():
        trainer.fit(module, loader(batches()), loader(batches(2)))
    assert not torch.equal(student.classifier.weight, first)
    assert not teacher.training
    assert not any(part.training for part in teacher.modules())
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name])
    theirs = {id(value) for value in teacher.parameters()}
    assert all(value.grad is None and not value.requires_grad for value in teacher.parameters())
    assert not theirs & {id(value) for value in module.parameters()}
    groups = trainer.optimizers[0].param_groups
    assert not theirs & {id(value) for group in groups for value in group["params"]}
    wanted = {f"model.{name}" for name in student.state_dict()} | {
        f"project.{name}" for name in module.project.state_dict()
    }
    assert set(module.state_dict()) == wanted
    path = next(tmp_path.rglob("*.ckpt"))
    assert set(torch.load(path, weights_only=True)["state_dict"]) == wanted
    told = trainer.callback_metrics
    assert {"loss", "embedding", "attention", "hidden", "logits"} <= set(told)
    assert "validation/accuracy" in told


@pytest.mark.parametrize("objectives", [INTERMEDIATE, [LogitsObjective(kind="logits", loss="kl")]])
def test_loss_falls(pair: tuple[Any, Any], tmp_path: Path, objectives: list[Any]) -> None:
    pair[0].classifier.weight.data *= 50  # random logits are all but equal otherwise
    module = DistillModule(*pair, objectives, train=TrainConfig(lr=5e-3, schedule="constant"))
    losses = Losses()
    with quiet_lightning():
        own_trainer(tmp_path, max_epochs=15, callbacks=[losses]).fit(module, loader(batches()))
    assert np.mean(losses.seen[-6:]) < 0.8 * np.mean(losses.seen[:6])


def moving(first: float, to: float, **share: float) -> WeightSchedule:
    return WeightSchedule.model_validate({"from": first, "to": to, **share})


def test_weights_move_with_the_optimiser_steps(pair: tuple[Any, Any]) -> None:
    hidden = HiddenObjective(kind="hidden", weight=moving(0.0, 2.0, start=0.2, end=0.6))
    module = DistillModule(*pair, [hidden, "embedding"])
    weights = []
    for step in range(10):
        module.trainer = SimpleNamespace(global_step=step, estimated_stepping_batches=10)
        found = module.losses(batches(1)[0])
        weights.append(((found["loss"] - found["embedding"]) / found["hidden"]).item())
    # 0 for two steps, then 0.5 more with each, 2 from the sixth on.
    assert weights == pytest.approx([0, 0, 0, 0.5, 1, 1.5, 2, 2, 2, 2], abs=1e-5)


def indexed(made: list[Batch]) -> list[Batch]:
    size = len(made[0]["labels"])
    return [
        {**batch, "index": torch.arange(k * size, (k + 1) * size)} for k, batch in enumerate(made)
    ]


@torch.no_grad()
def logits_of(teacher: Any, made: list[Batch]) -> np.ndarray:
    one = [teacher(b["input_ids"], b["attention_mask"]).logits for b in made]
    return torch.cat(one).numpy()


@pytest.mark.parametrize("objectives", [["logits"], ["hidden", "logits"]])
def test_cached_logits_are_the_teacher(tmp_path: Path, objectives: list[str]) -> None:
    made = indexed(batches())
    seen = []
    for cached in (False, True):
        teacher = tiny.bert(layers=4, hidden=24, heads=2, seed=1)
        losses = Losses()
        module = DistillModule(
            None if cached and objectives == ["logits"] else teacher,
            tiny.bert(),
            objectives,
            train=TrainConfig(lr=1e-3),
            teacher_logits=logits_of(teacher, made) if cached else None,
        )
        with quiet_lightning():
            own_trainer(tmp_path, callbacks=[losses]).fit(module, loader(made))
        seen.append(losses.seen)
    assert len(seen[0]) == 12
    assert seen[1] == pytest.approx(seen[0], abs=1e-6)


def runs(layers: Any) -> list[int]:
    counts = [0] * len(layers)
    for number, layer in enumerate(layers):

        def count(*_: Any, _number: int = number) -> None:
            counts[_number] += 1

        layer.register_forward_hook(count)
    return counts


def test_only_what_is_needed_runs(pair: tuple[Any, Any]) -> None:
    teacher, student = pair
    module = DistillModule(teacher, student, ["hidden"], layer_map=[[1, 1], [2, 2]])
    theirs, ours = runs(teacher.bert.encoder.layer), runs(student.bert.encoder.layer)
    module.losses(batches()[0])
    assert (theirs, ours) == ([1, 1, 0, 0], [1, 1])


def test_without_logits_validation_is_the_loss_and_nothing_chooses(
    pair: tuple[Any, Any],
) -> None:
    module = DistillModule(*pair, INTERMEDIATE, task=Classification(("no", "yes")))
    module.model.eval()
    one, other = batches(2)
    with torch.no_grad():
        expected = (module.losses(one)["loss"] + module.losses(other)["loss"]) / 2
        module.observe(one)
        module.observe(other)
    assert module.chooses_by is None
    assert module.scores() == {"loss": pytest.approx(float(expected))}
    assert module.scores() == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": None}, "the teacher's attention, hidden: give a teacher"),
        ({"teacher": None, "objectives": ["logits"]}, "logits: give a teacher or teacher_logits"),
        ({"teacher": "student"}, "same object"),
        (
            {"teacher": "labels", "objectives": ["logits"]},
            "student has 2 outputs and the teacher 3",
        ),
        ({"teacher": "vocabulary"}, "vocabulary has 50 tokens and the teacher's 60"),
        ({"teacher_logits": np.zeros((4, 3), np.float32), "objectives": ["logits"]}, "teacher 3"),
        ({"layer_map": [[3, 1]]}, "student layer 3"),
        ({"objectives": ["attenton"]}, "did you mean 'attention'"),
    ],
)
def test_what_does_not_go_together_is_refused(
    pair: tuple[Any, Any], change: dict[str, Any], message: str
) -> None:
    teacher, student = pair
    others = {"student": student, None: None}
    if change.get("teacher") == "labels":
        teacher.config.num_labels = 3
    elif change.get("teacher") == "vocabulary":
        teacher.config.vocab_size = 60
    elif "teacher" in change:
        teacher = others[change["teacher"]]
    settings = {"objectives": ["attention", "hidden"]} | change
    settings.pop("teacher", None)
    with pytest.raises(ModelError, match=message) as error:
        DistillModule(teacher, student, **settings)
    assert "\n" not in str(error.value)


def test_cached_logits_need_row_numbers(pair: tuple[Any, Any], tmp_path: Path) -> None:
    cached = np.zeros((48, 2), np.float32)
    module = DistillModule(None, pair[1], ["logits"], teacher_logits=cached)
    with quiet_lightning(), pytest.raises(ModelError, match=r"batch\['index'\]"):
        own_trainer(tmp_path).fit(module, loader(batches()))


def test_dropout_is_a_function_of_seed_and_step(tmp_path: Path) -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(int(torch.seed() % 1000))  # the state before must not matter
        module = DistillModule(
            tiny.bert(layers=4, hidden=24, heads=2, seed=1), tiny.bert(), ["hidden"], seed=seed
        )
        torch.seed()
        with quiet_lightning():
            own_trainer(tmp_path, max_epochs=1).fit(module, loader(batches()))
        found: Tensor = module.model.bert.encoder.layer[0].output.dense.weight
        return found

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))
