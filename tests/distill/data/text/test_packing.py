from __future__ import annotations

import numpy as np
import pytest
from numpy.random import default_rng

from distill.data.text.corpus import HELD_OUT, pack, pack_document
from distill.system.errors import DataError


@pytest.mark.parametrize(
    ("offsets", "pair", "rows"),
    [
        ([0, 4, 6, 9], False, [(0, 6, 6), (6, 9, 9)]),  # room for 6 tokens
        ([0, 6, 12], False, [(0, 6, 6), (6, 12, 12)]),
        ([3, 18], False, [(3, 9, 9), (9, 15, 15), (15, 18, 18)]),  # longer than a row alone
        ([0, 2, 10, 11], False, [(0, 2, 2), (2, 8, 8), (8, 11, 11)]),
        ([0, 2, 4], True, [(0, 2, 4)]),  # room for 2 tokens in each half
        ([0, 2, 4, 6, 8], True, [(0, 2, 4), (4, 6, 8)]),
        ([0, 2], True, [(0, 1, 2)]),  # a lone half is parted
        ([0, 1, 2, 4, 5, 6], True, [(0, 2, 4), (4, 5, 6)]),
        ([5, 6], True, [(5, 6, 6)]),  # a single token has nothing behind it
    ],
)
def test_rows_of_a_document(offsets, pair, rows) -> None:
    assert pack_document(offsets, max_length=8, pair=pair) == rows


@pytest.mark.parametrize("pair", [False, True])
def test_every_token_is_in_one_row_and_rows_keep_to_their_room(pair: bool) -> None:
    random = default_rng(0)
    for _ in range(300):
        lengths = random.integers(1, 30, random.integers(1, 12))
        offsets = [7, *(7 + np.cumsum(lengths)).tolist()]
        most = int(random.integers(8, 40))
        rows = pack_document(offsets, max_length=most, pair=pair)
        covered = [t for start, _, end in rows for t in range(start, end)]
        assert covered == list(range(offsets[0], offsets[-1]))
        for start, middle, end in rows:
            second = end - middle
            assert middle > start
            assert (middle - start) + second + (3 if second else 2) <= most
            # Any A goes with any B.
            assert not pair or max(middle - start, second) <= (most - 3) // 2
        if pair and offsets[-1] - offsets[0] > 1:
            assert all(middle < end for _, middle, end in rows)


def test_a_corpus_is_parted_by_documents(corpus) -> None:
    text = corpus(documents=12 * HELD_OUT)
    packed = pack(text, max_length=32, pair=True, hold_out=True, seed=1)
    starts = text.sentences[text.documents[:-1]]

    def documents(rows) -> set[int]:
        return set(np.searchsorted(starts, rows[:, 0], side="right").tolist())

    held = documents(packed.held_out)
    assert len(held) == 12
    assert held.isdisjoint(documents(packed.train))
    both = np.concatenate([packed.train, packed.held_out])
    assert (both[:, 2] - both[:, 0]).sum() == text.facts["tokens"]
    other = pack(text, max_length=32, pair=True, hold_out=True, seed=2)
    assert documents(other.held_out) != held
    whole = pack(text, max_length=32, pair=True, hold_out=False, seed=1)
    assert len(whole.held_out) == 0
    assert len(whole.train) == len(both)


def test_one_document_cannot_be_held_out(corpus) -> None:
    with pytest.raises(DataError, match=r"data.validation: missing, and the text has one document"):
        pack(corpus(documents=1), max_length=32, pair=False, hold_out=True, seed=0)
