import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill.data.batches import BucketSampler, Collate, make_loader
from distill.data.split import Split
from distill.data.tokenized import tokenize

lengths_of = st.lists(st.integers(1, 64), max_size=400)
sizes = st.integers(1, 40)


def batches(lengths, size, *, seed=0, epoch=0, **kwargs):
    sampler = BucketSampler(lengths, size, seed=seed, **kwargs)
    sampler.set_epoch(epoch)
    return list(sampler)


@given(lengths_of, sizes, st.booleans(), st.integers(0, 5))
def test_every_row_exactly_once_and_no_batch_too_large(lengths, size, shuffle, epoch):
    found = batches(lengths, size, shuffle=shuffle, epoch=epoch)
    assert sorted(row for batch in found for row in batch) == list(range(len(lengths)))
    assert len(found) == -(-len(lengths) // size)
    assert all(1 <= len(batch) <= size for batch in found)
    assert len({len(batch) for batch in found}) <= 2


@given(st.lists(st.integers(1, 64), min_size=5, max_size=300), sizes, st.integers(2, 5))
def test_ranks_partition_the_rows_into_equally_many_batches(lengths, size, world):
    ranks = [batches(lengths, size, rank=rank, world=world) for rank in range(world)]
    rows = [row for found in ranks for batch in found for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert len({len(found) for found in ranks}) == 1
    assert all(batch for found in ranks for batch in found)
    assert max(len(batch) for found in ranks for batch in found) <= size + 1


def test_two_ranks_have_the_batches_of_one_process():
    lengths = np.random.default_rng(0).integers(1, 60, 1000)
    one = batches(lengths, 32)
    two = zip(*(batches(lengths, 32, rank=rank, world=2) for rank in range(2)), strict=True)
    assert [sorted(batch) for batch in one] == [sorted(a + b) for a, b in two]


def test_order_is_a_function_of_seed_and_epoch_alone():
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    first = batches(lengths, 16, seed=1, epoch=3)
    np.random.seed(99)
    torch.manual_seed(99)
    sampler = BucketSampler(lengths, 16, seed=1)
    for epoch in (0, 7):
        sampler.set_epoch(epoch)
        list(sampler)
    sampler.set_epoch(3)
    assert list(sampler) == first
    assert batches(lengths, 16, seed=2, epoch=3) != first
    assert batches(lengths, 16, seed=1, epoch=4) != first


@given(st.integers(1, 300), sizes, st.integers(0, 30))
def test_skip_gives_exactly_the_tail_and_of_its_epoch_only(rows, size, skipped):
    lengths = np.arange(rows) % 37 + 1
    sampler, whole = (BucketSampler(lengths, size, seed=5) for _ in range(2))
    sampler.skip(skipped, epoch=0)
    assert list(sampler) == list(whole)[skipped:]
    for one in (sampler, whole):
        one.set_epoch(1)
    assert list(sampler) == list(whole)
    assert len(sampler) == len(list(whole))


def test_unshuffled_is_by_length_longest_first():
    lengths = [3, 9, 1, 9, 5]
    assert batches(lengths, 2, shuffle=False) == [[1, 3], [4, 0], [2]]
    assert batches(lengths, 2, shuffle=False, epoch=4, seed=9) == [[1, 3], [4, 0], [2]]


def padding_share(lengths, found):
    cells = sum(-(-max(lengths[row] for row in batch) // 8) * 8 * len(batch) for batch in found)
    return 1 - sum(lengths) / cells


@pytest.mark.parametrize("size", [16, 32, 64])
def test_bucketing_leaves_little_padding_on_skewed_lengths(size):
    random = np.random.default_rng(0)
    lengths = np.minimum(4 + random.exponential(20, 8000), 128).astype(int)
    in_order = [list(range(k, k + size)) for k in range(0, 8000, size)]
    bucketed = padding_share(lengths, batches(lengths, size))
    # What rounding to multiples of 8 alone costs is about 0.13 here.
    assert padding_share(lengths, in_order) > 0.6
    assert bucketed < 0.2
    assert padding_share(lengths, batches(lengths, size, shuffle=False)) <= bucketed


def row(ids, index=0):
    return {"input_ids": ids, "token_type_ids": [1] * len(ids), "labels": 1, "index": index}


@given(st.lists(st.integers(1, 70), min_size=1, max_size=9), st.sampled_from([1, 8, 16]))
def test_collate_pads_to_the_rounded_longest(sizes, multiple):
    rows = [row(list(range(1, size + 1)), index) for index, size in enumerate(sizes)]
    batch = Collate(pad_id=99, multiple_of=multiple)(rows)
    length = batch["input_ids"].shape[1]
    assert length % multiple == 0
    assert max(sizes) <= length < max(sizes) + multiple
    assert batch["attention_mask"].sum(1).tolist() == sizes
    assert (batch["input_ids"][batch["attention_mask"] == 0] == 99).all()
    assert torch.equal(batch["token_type_ids"], batch["attention_mask"])
    assert batch["index"].tolist() == list(range(len(sizes)))
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_loader_gives_each_row_once_with_its_own_tokens(tokenizer, sentences):
    dataset = tokenize(Split("train", *sentences), tokenizer, max_length=16)
    loader = make_loader(dataset, 6, seed=0, shuffle=True)
    seen = []
    for batch in loader:
        assert batch["input_ids"].shape[1] <= 16
        for place, index in enumerate(batch["index"].tolist()):
            ids = batch["input_ids"][place][batch["attention_mask"][place] == 1]
            assert ids.tolist() == dataset[index]["input_ids"].tolist()
            assert batch["labels"][place] == dataset.labels[index]
            seen.append(index)
    assert sorted(seen) == list(range(64))
    assert isinstance(loader.batch_sampler, BucketSampler)
