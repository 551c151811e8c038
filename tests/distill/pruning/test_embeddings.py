"""Word embeddings as a narrow table and a matrix, in every family, before and after others."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from distill.evaluation.cost import macs, parameters, parameters_no_embeddings
from distill.pruning.layers import keep_layers
from distill.pruning.masks import Masks
from distill.pruning.methods.embeddings import factor_embeddings
from distill.pruning.subwords import trim_embeddings
from distill.pruning.surgery import slice_model
from distill.pruning.width import Width, slice_width
from distill.recipe.shapes import Shape
from distill.system.errors import ModelError
from students.pruned import FactoredEmbedding, pruned_config
from teachers.load import load_model

VOCAB, RANK = 60, 12
IDS = torch.arange(36).reshape(3, 12)


def made(family: str = "Bert", head: str = "ForSequenceClassification", **more: Any) -> Any:
    """A small model whose weights are not as small as random ones are."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 48, "vocab_size": VOCAB, "pad_token_id": 0}
    if family == "DistilBert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "vocab_size": VOCAB}
    config = getattr(transformers, f"{family}Config")(**sizes, **more)
    model = getattr(transformers, f"{family}{head}")(config).eval()
    for parameter in model.parameters():
        parameter.data.mul_(3)
    return model


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model(IDS)[0]


def product(model: Any, factored: Any) -> Any:
    """The model before, with the product of table and matrix as its table."""
    whole, parts = copy.deepcopy(model), factored.get_input_embeddings()
    wide = parts.weight.detach() @ parts.projection.weight.detach().T
    whole.get_input_embeddings().weight.data = wide
    return whole


@pytest.mark.parametrize(
    ("family", "more"),
    [("Bert", {}), ("Roberta", {}), ("Electra", {"embedding_size": 16}),
     ("Electra", {"embedding_size": 32}), ("DistilBert", {}),
     ("Bert", {"head": "ForTokenClassification"}), ("Bert", {"head": "ForQuestionAnswering"})],
)  # fmt: skip
def test_it_computes_what_the_product_does_and_is_loaded_again(family, more, tmp_path):
    model = made(family, **more)
    factored, kept = factor_embeddings(model, RANK, torch.ones(VOCAB))
    assert 0 < kept < 1
    table = factored.get_input_embeddings()
    assert isinstance(table, FactoredEmbedding)
    assert table.weight.shape == (VOCAB, RANK)
    torch.testing.assert_close(
        logits(factored), logits(product(model, factored)), atol=1e-5, rtol=0
    )
    factored.save_pretrained(tmp_path)
    assert torch.equal(logits(load_model(tmp_path).eval()), logits(factored))


def test_no_other_product_of_that_rank_is_nearer():
    model = made()
    words = model.get_input_embeddings().weight.detach()
    weights = torch.arange(VOCAB).float()
    factored, kept = factor_embeddings(model, RANK, weights)
    found = product(model, factored).get_input_embeddings().weight.detach()
    scaled = weights.sqrt()[:, None]
    left = torch.linalg.svdvals(scaled * words)[RANK:].square().sum()
    lost = (scaled * (words - found)).square().sum()
    torch.testing.assert_close(lost, left, rtol=1e-3, atol=0)
    assert kept == pytest.approx(1 - float(lost / (scaled * words).square().sum()), abs=1e-5)


def test_parameters_and_macs_are_those_of_the_shape():
    factored, _ = factor_embeddings(made(num_labels=5), RANK, torch.ones(VOCAB))
    shape = Shape(2, 32, 2, 48, VOCAB, head_dim=16, labels=5, rank=RANK)
    assert parameters(factored) == shape.parameters
    assert parameters_no_embeddings(factored) == shape.parameters - shape.embedding_parameters
    assert macs(factored, 7) == shape.macs(7)


def test_a_rank_that_cannot_be_is_refused():
    model = made()
    for rank in (0, 32, 100):
        with pytest.raises(ModelError, match=r"32 wide: its rank cannot become .* take 1 to 31"):
            factor_embeddings(model, rank, torch.ones(VOCAB))
    once, _ = factor_embeddings(model, RANK, torch.ones(VOCAB))
    with pytest.raises(ModelError, match=f"{RANK} wide"):
        factor_embeddings(once, RANK, torch.ones(VOCAB))
    with pytest.raises(ValueError, match="embedding_rank must be at least 1, not 0"):
        pruned_config("bert")(embedding_rank=0)


def test_other_surgery_before_and_after():
    model = made()
    keep = [*range(0, VOCAB, 2)]
    first, _ = factor_embeddings(trim_embeddings(model, keep), RANK, torch.ones(len(keep)))
    assert first.get_input_embeddings().weight.shape == (len(keep), RANK)
    factored, _ = factor_embeddings(model, RANK, torch.ones(VOCAB))
    trimmed = trim_embeddings(factored, [*range(40)])
    assert torch.equal(logits(trimmed), logits(factored))
    assert trimmed.config.vocab_size == trimmed.get_input_embeddings().num_embeddings == 40
    again, _ = factor_embeddings(factored, RANK // 2, torch.ones(VOCAB))
    whole = product(model, again)
    torch.testing.assert_close(logits(again), logits(whole), atol=1e-5, rtol=0)
    masks = Masks([torch.tensor([True, False])] * 2, [torch.arange(48) < 20] * 2)
    torch.testing.assert_close(
        logits(slice_model(again, masks)), logits(slice_model(whole, masks)), atol=1e-5, rtol=0
    )
    shallow = keep_layers(again, [2])
    torch.testing.assert_close(logits(shallow), logits(keep_layers(whole, [2])), atol=1e-5, rtol=0)
    half = Width(torch.arange(32) % 2 == 0, torch.arange(32) % 2 == 1)
    torch.testing.assert_close(
        logits(slice_width(again, half)), logits(slice_width(whole, half)), atol=1e-5, rtol=0
    )
