from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from families import tiny_model

from distill.system.errors import ModelError
from distill.training.pretrain import PretrainModule


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 40, (4, 12), generator=generator)
    labels = torch.where(torch.rand(4, 12, generator=generator) < 0.3, ids, -100)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "token_type_ids": torch.zeros_like(ids),
        "mlm_labels": labels,
        "nsp_labels": torch.tensor([0, 1, -100, 1]),
    }


def test_losses_are_those_of_transformers() -> None:
    given = batch()
    model = tiny_model("bert", "mlm+nsp")
    losses = PretrainModule(model, nsp=True).losses(given)
    inputs = {k: v for k, v in given.items() if not k.endswith("labels")}
    output = model(**inputs)
    mlm = F.cross_entropy(output.prediction_logits.view(-1, 40), given["mlm_labels"].view(-1))
    nsp = F.cross_entropy(output.seq_relationship_logits, given["nsp_labels"], ignore_index=-100)
    assert torch.allclose(losses["mlm"], mlm, atol=1e-6)
    assert torch.allclose(losses["nsp"], nsp, atol=1e-6)
    assert torch.allclose(losses["loss"], mlm + nsp, atol=1e-6)
    alone = PretrainModule(tiny_model("bert", "mlm")).losses(given)
    assert set(alone) == {"loss", "mlm"}


def test_measures_count_every_masked_token_once() -> None:
    given = batch()
    model = tiny_model("bert", "mlm+nsp")
    module = PretrainModule(model, nsp=True)
    with torch.no_grad():
        whole = module.losses(given)
    for part in (slice(0, 1), slice(1, 4)):
        module.observe({name: tensor[part] for name, tensor in given.items()})
    scores = module.scores()
    assert math.isclose(scores["mlm_loss"], float(whole["mlm"]), rel_tol=1e-5)
    assert math.isclose(scores["perplexity"], math.exp(scores["mlm_loss"]), rel_tol=1e-6)
    with torch.no_grad():
        told = model(**{k: v for k, v in given.items() if not k.endswith("labels")})
    asked = given["mlm_labels"] != -100
    right = told.prediction_logits.argmax(-1)[asked] == given["mlm_labels"][asked]
    assert math.isclose(scores["masked_accuracy"], float(right.float().mean()), abs_tol=1e-6)
    pairs = told.seq_relationship_logits.argmax(-1)[[0, 1, 3]] == torch.tensor([0, 1, 1])
    assert math.isclose(scores["nsp_accuracy"], float(pairs.float().mean()), abs_tol=1e-6)
    assert module.scores() == {}


def test_a_batch_of_which_nothing_is_asked() -> None:
    given = batch()
    given["mlm_labels"][:] = -100
    given["nsp_labels"][:] = -100
    module = PretrainModule(tiny_model("bert", "mlm+nsp"), nsp=True)
    losses = module.losses(given)
    assert losses["loss"].item() == 0
    losses["loss"].backward()
    module.observe(given)
    assert module.scores() == {}


def test_models_without_heads() -> None:
    with pytest.raises(ModelError, match="a BertModel has no heads to pre-train; take BertForMa"):
        PretrainModule(tiny_model("bert", "none"))
    with pytest.raises(ModelError, match="take BertForPreTraining"):
        PretrainModule(tiny_model("bert", "mlm"), nsp=True)
