import pytest
import torch
from tiny_pruning import FFN, HEADS, make_model
from transformers import BertConfig, BertForMultipleChoice, BertForSequenceClassification

from distill.pruning.masks import Masks, keep_best
from distill.pruning.surgery import slice_model
from distill.system.errors import ModelError
from students.pruned import PrunedBertForSequenceClassification


def masks_from(heads: list[list[int]], ffn: list[list[int]]) -> Masks:
    return Masks(*([torch.tensor(row).bool() for row in part] for part in (heads, ffn)))


#: Two heads and five neurons of every layer.
EVEN = masks_from([[1, 1, 0, 0]] * 3, [[1] * 5 + [0] * 5] * 3)


def test_slicing_again_equals_slicing_once():
    model = make_model()
    first = masks_from([[1, 1, 0, 1], [1] * 4, [0, 1, 1, 1]], [[1] * 6 + [0] * 4] * 3)
    second = masks_from([[0, 1, 1], [1] * 4, [1] * 3], [[1] * 5 + [0]] * 3)
    twice = slice_model(slice_model(model, first), second)
    both = masks_from([[0, 1, 0, 1], [1] * 4, [0, 1, 1, 1]], [[1] * 5 + [0] * 5] * 3)
    direct = slice_model(model, both)
    assert type(twice) is PrunedBertForSequenceClassification
    for (name, a), b in zip(twice.state_dict().items(), direct.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_an_even_cut_of_neurons_is_stock_bert(tmp_path):
    masks = Masks([torch.ones(HEADS, dtype=torch.bool)] * 3, [torch.arange(FFN) < 5] * 3)
    sliced = slice_model(make_model(), masks)
    assert type(sliced) is BertForSequenceClassification
    assert type(sliced.config) is BertConfig
    assert sliced.config.intermediate_size == 5
    assert not hasattr(sliced.config, "head_dim")
    sliced.save_pretrained(tmp_path)
    assert BertForSequenceClassification.from_pretrained(tmp_path).config.model_type == "bert"


def test_labels_and_state_are_carried_over():
    model = make_model().train()
    model.config.id2label = {0: "a", 1: "b"}
    model.set_attn_implementation("eager")
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    state = torch.random.get_rng_state()
    sliced = slice_model(model, EVEN)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert sliced.config.id2label == {0: "a", 1: "b"}
    assert sliced.training
    assert sliced.config._attn_implementation == "eager"
    assert sliced.config.heads_per_layer == [2, 2, 2]
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name]), name
    sliced.classifier.weight.data.zero_()
    assert model.classifier.weight.abs().sum() > 0


def test_masks_that_do_not_fit_are_refused():
    good = [torch.ones(HEADS, dtype=torch.bool)] * 3
    with pytest.raises(ModelError, match=r"ffn are for layers of \[5, 5, 5\].* \[10, 10, 10\]"):
        slice_model(make_model(), Masks(good, [torch.ones(5, dtype=torch.bool)] * 3))
    with pytest.raises(ModelError, match="must be bool"):
        slice_model(
            make_model(), Masks([torch.ones(HEADS)] * 3, [torch.ones(FFN, dtype=torch.bool)] * 3)
        )


def test_other_classes_are_refused():
    model = BertForMultipleChoice(make_model().config)
    with pytest.raises(ModelError, match="cannot prune a BertForMultipleChoice"):
        slice_model(model, EVEN)


def test_the_best_are_kept_and_ties_go_to_the_lower_index():
    assert keep_best(torch.tensor([1.0, 3.0, 2.0]), 0.34).tolist() == [False, True, True]
    assert keep_best(torch.zeros(4), 0.5).tolist() == [True, True, False, False]
