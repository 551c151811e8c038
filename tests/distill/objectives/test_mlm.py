"""Masked-language modelling beside distillation: its value, and a head run only where masked."""

from __future__ import annotations

import pytest
import tiny_training as tiny
import torch
import torch.nn.functional as F
from families import tiny_model

from distill.objectives.mlm import mlm_loss
from distill.system.errors import ModelError
from distill.training.distill import DistillModule


def make_batch(padding: int = 0) -> dict[str, torch.Tensor]:
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    labels = torch.full((2, 5), -100)
    labels[0, 1], labels[0, 4], labels[1, 2] = 7, 9, 11
    made = {"input_ids": torch.arange(1, 11).view(2, 5) * mask, "attention_mask": mask}
    fill = {"input_ids": 0, "attention_mask": 0, "mlm_labels": -100}
    made["mlm_labels"] = labels
    return {name: F.pad(x, (0, padding), value=fill[name]) for name, x in made.items()}


@pytest.mark.parametrize("head", ["mlm", "mlm+nsp"])
@pytest.mark.parametrize("padding", [0, 3])
def test_equals_the_models_own_loss_and_padding_changes_nothing(head: str, padding: int) -> None:
    teacher, student = tiny_model("bert", "mlm", layers=4), tiny_model("bert", head)
    module = DistillModule(teacher, student, ["mlm", "hidden"])
    seen: list[int] = []
    student.cls.predictions.decoder.register_forward_hook(lambda *a: seen.append(len(a[2])))
    found = module.losses(make_batch(padding))
    assert seen == [3]  # the head ran at the three masked tokens
    batch = make_batch()
    labels = batch.pop("mlm_labels")
    output = student(**batch)
    logits = output.logits if head == "mlm" else output.prediction_logits
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    assert found["mlm"].item() == pytest.approx(expected.item(), rel=1e-5)
    found["loss"].backward()
    assert student.cls.predictions.decoder.weight.grad.abs().sum() > 0
    # And the head is whole again.
    assert student(**batch)[0 if head == "mlm" else "prediction_logits"].shape[1] == 5


def test_gradients_agree_with_finite_differences() -> None:
    predictions = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[-100, 3], [1, -100]])
    assert torch.autograd.gradcheck(lambda p: mlm_loss(p, labels), predictions)


def test_issues_are_told() -> None:
    with pytest.raises(ModelError, match="a BertForSequenceClassification does not have"):
        DistillModule(None, tiny.bert(), ["mlm"])
    module = DistillModule(None, tiny_model("bert", "mlm"), ["mlm"])
    batch = make_batch()
    del batch["mlm_labels"]
    with pytest.raises(ModelError, match="the batch has no mlm_labels"):
        module.losses(batch)
    with pytest.raises(ModelError, match="2 predictions for 1 masked"):
        mlm_loss(torch.zeros(2, 5), torch.tensor([[1, -100]]))
