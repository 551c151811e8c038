from __future__ import annotations

import numpy as np
import pytest

from distill.data.batches import make_collate, make_sampler
from distill.data.text.corpus import pack
from distill.data.text.rows import SpecialTokens, TextSampler, TextSequences


@pytest.fixture
def rows(corpus, tokenizer):
    def build(*, pair: bool) -> TextSequences:
        text = corpus()
        packed = pack(text, max_length=24, pair=pair, hold_out=False, seed=0)
        return TextSequences(text, packed.train, SpecialTokens.of(tokenizer))

    return build


def test_sequences_with_their_marks(rows, tokenizer) -> None:
    for pair in (False, True):
        found = rows(pair=pair)
        for index in (0, len(found) // 2):
            start, middle, end, _ = found.rows[index]
            row = found[3, index]
            ids = found.corpus.ids[start:end].tolist()
            expected = [tokenizer.cls_token_id, *ids[: middle - start], tokenizer.sep_token_id]
            types = [0] * len(expected)
            if pair:
                second = [*ids[middle - start :], tokenizer.sep_token_id]
                expected, types = expected + second, types + [1] * len(second)
            assert row["input_ids"].tolist() == expected
            assert row["token_type_ids"].tolist() == types
            assert len(expected) <= 24
            assert row["index"] == index
            assert found[index]["input_ids"].tolist() == expected


def test_a_batch(rows, tokenizer) -> None:
    found = rows(pair=False)
    keys = next(iter(make_sampler(found, 4, seed=0)))
    batch = make_collate(found)([found[key] for key in keys])
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "index"}
    assert batch["input_ids"].shape[1] % 8 == 0
    assert batch["index"].tolist() == [number for _, number in keys]
    for ids, mask, key in zip(batch["input_ids"], batch["attention_mask"], keys, strict=True):
        size = len(found[key]["input_ids"])
        assert mask.tolist() == [1] * size + [0] * (len(mask) - size)
        assert ids[:size].tolist() == found[key]["input_ids"].tolist()
        assert set(ids[size:].tolist()) <= {tokenizer.pad_token_id}


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_sequence_once_an_epoch_and_entered_anywhere(shuffle: bool) -> None:
    lengths = np.random.default_rng(0).integers(4, 100, 3000)
    whole = TextSampler(lengths, 16, seed=5, shuffle=shuffle)
    whole.set_epoch(3)
    batches = list(whole)
    assert sorted(key for batch in batches for key in batch) == [(3, n) for n in range(3000)]
    for skip in (1, 60, len(whole)):
        whole.skip(skip)
        assert list(whole) == batches[skip:]
    parts = []
    for rank in range(2):
        part = TextSampler(lengths, 16, seed=5, shuffle=shuffle, rank=rank, world=2)
        part.set_epoch(3)
        parts.append(list(part))
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(b) for b in batches]
