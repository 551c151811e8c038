from __future__ import annotations

import numpy as np
import pytest

from distill.data.batches import BucketSampler, make_collate, make_sampler
from distill.data.text.corpus import pack
from distill.data.text.rows import SpecialTokens, TextSampler, TextSequences


@pytest.fixture
def rows(corpus, tokenizer):
    def build(*, pair: bool) -> TextSequences:
        text = corpus()
        packed = pack(text, max_length=24, pair=pair, hold_out=False, seed=0)
        return TextSequences(text, packed.train, SpecialTokens(tokenizer))

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


def test_batches_are_those_of_a_bucket_sampler_with_their_epoch() -> None:
    lengths = np.random.default_rng(0).integers(4, 100, 3000)
    text, plain = (kind(lengths, 16, seed=5) for kind in (TextSampler, BucketSampler))
    for one in (text, plain):
        one.set_epoch(3)
        one.skip(60, epoch=3)
    assert list(text) == [[(3, row) for row in batch] for batch in plain]
