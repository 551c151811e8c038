from dataclasses import replace

import pytest

from distill.pruning.methods.taylor import TaylorPrune
from distill.recipe.model_shapes import teacher_shape
from distill.recipe.shapes import Shape
from distill.recipe.sizes import resolve_size


def minilm(labels=2):
    teacher = teacher_shape("minilm-l6")
    assert teacher is not None
    return Shape.of_teacher(teacher, labels)


@pytest.mark.parametrize("size", ["3x384", "tinybert4", "2x32/4/77"])
def test_parameters_and_macs_are_those_of_the_model(size):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from distill.evaluation.cost import macs, parameters, parameters_no_embeddings

    shape = minilm(labels=5).student(resolve_size(size))
    config = BertConfig(
        vocab_size=shape.vocab,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.ffn,
        num_labels=5,
    )
    with torch.device("meta"):
        model = BertForSequenceClassification(config)
    assert shape.parameters == parameters(model)
    assert shape.parameters - shape.embedding_parameters == parameters_no_embeddings(model)
    assert shape.macs(32) == macs(model, 32)


def test_a_pruned_shape_keeps_the_width_of_its_heads():
    pruned = minilm().pruned(heads=0.33, ffn=0.5)
    assert (pruned.heads, pruned.head_dim, pruned.ffn, pruned.hidden) == (8, 32, 768, 384)
    assert minilm().pruned(heads=0, ffn=0) == minilm()
    assert minilm().pruned(heads=0.999, ffn=0.999).heads == 1


def test_a_narrower_shape_has_its_heads_and_neurons_still():
    stage = TaylorPrune(kind="prune", hidden=0.25)
    narrow = stage.shape_left(minilm())
    assert (narrow.heads, narrow.head_dim, narrow.ffn, narrow.hidden) == (12, 32, 1536, 288)
    both = stage.model_copy(update={"heads": 0.25}).shape_left(minilm())
    # Nine heads of 32 fill the width: what a stock BERT of that size has.
    assert both == replace(narrow, heads=9)
    assert both.parameters == replace(minilm(), hidden=288, heads=9).parameters
