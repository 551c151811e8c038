import pytest
import tiny_pruning as tiny
import torch
from transformers import BertForSequenceClassification

from distill.pruning.masks import Masks
from distill.pruning.surgery import slice_model
from distill.pruning.width import Width, slice_width, width_scores
from distill.system.errors import DataError, ModelError
from students.pruned import PrunedBertForSequenceClassification


def kept(count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    masks = []
    for _ in range(2):
        mask = torch.zeros(tiny.HIDDEN, dtype=torch.bool)
        mask[torch.randperm(tiny.HIDDEN, generator=draw)[:count]] = True
        masks.append(mask)
    return Width(*masks)


def test_heads_that_fill_the_width_again_are_stock_bert(tmp_path):
    model = tiny.make_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    narrow = slice_width(model, kept(9))  # heads are 3 wide: 3 of 4 fill it
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert type(narrow) is PrunedBertForSequenceClassification
    assert (narrow.config.head_dim, narrow.config.num_attention_heads) == (3, 4)
    left = Masks([torch.arange(4) != 1] * 3, [torch.ones(tiny.FFN, dtype=torch.bool)] * 3)
    stock = slice_model(narrow, left)
    assert type(stock) is BertForSequenceClassification
    assert (stock.config.hidden_size, stock.config.num_attention_heads) == (9, 3)
    other_way = slice_width(slice_model(tiny.make_model(), left), kept(9))
    assert type(other_way) is BertForSequenceClassification
    stock.save_pretrained(tmp_path)
    batches = tiny.make_batches()
    for model in (other_way, BertForSequenceClassification.from_pretrained(tmp_path)):
        found = tiny.logits_of(model, batches)
        torch.testing.assert_close(found, tiny.logits_of(stock, batches), atol=1e-6, rtol=0)


def test_scores_are_squared_slopes_of_each_example():
    model = tiny.make_model().double()
    batches = tiny.make_batches(2, dtype=torch.float64)
    scores = width_scores(model, loss_of=tiny.loss_of, batches=iter(batches), samples=8)
    norms = [m for m in model.bert.modules() if isinstance(m, torch.nn.LayerNorm)]
    for name, places, found in (
        ("hidden", norms, scores.hidden),
        ("pooled", [model.bert.pooler], scores.pooled),
    ):
        worth = torch.zeros(tiny.HIDDEN, dtype=torch.float64)
        for batch in batches:
            for row in range(len(batch["input_ids"])):
                single = {key: value[row : row + 1] for key, value in batch.items()}
                for unit in range(tiny.HIDDEN):
                    worth[unit] += slope(model, single, places, unit) ** 2
        torch.testing.assert_close(found.double(), worth, rtol=1e-4, atol=1e-8, msg=name)


def slope(model, batch, places, unit, step=1e-4):
    losses = []
    for factor in (1 + step, 1 - step):
        factors = torch.ones(tiny.HIDDEN, dtype=torch.float64)
        factors[unit] = factor
        hooks = [p.register_forward_hook(lambda _, __, out, f=factors: out * f) for p in places]
        with torch.no_grad():
            losses.append(float(tiny.loss_of(model, batch)))
        for hook in hooks:
            hook.remove()
    return (losses[0] - losses[1]) / (2 * step)


def test_dimensions_that_nothing_reads_go_first():
    model = tiny.make_model()
    dead = torch.tensor([2, 7, 8])
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight[dead] = module.bias[dead] = 0.0
            if name.endswith(("query", "key", "value", "intermediate.dense", "pooler.dense")):
                module.weight[:, dead] = 0.0
    scores = width_scores(model, loss_of=tiny.loss_of, batches=tiny.make_batches(), samples=12)
    assert not scores.hidden[dead].any()
    left = scores.keep(9)
    assert (~left.hidden).nonzero().flatten().tolist() == dead.tolist()
    assert left.pooled.sum() == 9
    assert not model.training
    assert all(weight.requires_grad for weight in model.parameters())


def test_mistakes():
    model = tiny.make_model()
    with pytest.raises(ModelError, match=r"for \[11, 12\], the model has \[12, 12\]"):
        slice_width(model, Width(torch.ones(11).bool(), torch.ones(12).bool()))
    with pytest.raises(ModelError, match="not as much of the pooler"):
        slice_width(model, Width(torch.ones(12).bool(), torch.arange(12) < 3))
    with pytest.raises(DataError, match="no batches to judge"):
        width_scores(model, loss_of=tiny.loss_of, batches=[], samples=4)
