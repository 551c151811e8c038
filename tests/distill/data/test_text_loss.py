import numpy as np
import pytest

from distill.data.split import Split
from distill.data.tokenized import cut_facts, cut_note, tokenize


def facts_of(lengths, max_length, *, limit):
    """Facts of examples of these lengths, cut to ``max_length``."""
    whole = np.array(lengths, dtype=np.int32)
    return cut_facts(np.minimum(whole, max_length), whole[whole > max_length], limit=limit)


@pytest.mark.parametrize("limit", [8, 50, 98, 99, 100, 150, 400])
def test_the_advised_length_cuts_at_most_one_row_of_a_hundred(limit):
    lengths = list(range(1, 201))
    facts = facts_of(lengths, limit, limit=512)
    assert facts["cut"] == max(0, 200 - limit)
    assert facts["longest"] == 200 if limit < 200 else facts["longest"] <= 200
    # 198 is the smallest length that leaves at most 2 of the 200 longer.
    assert facts["keeps_99"] == min(198, max(limit, 198))
    assert facts["kept_at_limit"] == 1


def test_the_note_says_what_is_cut_and_what_to_write():
    facts = facts_of([*range(1, 201)], 100, limit=512)
    assert cut_note(facts, max_length=100, limit=512) == (
        "100 of 200 examples (50.0%) are cut to 100 tokens, the longest had 200; "
        "data.max_length: 198 would keep 99 % whole"
    )
    facts = facts_of([*range(1, 201)], 100, limit=150)
    assert cut_note(facts, max_length=100, limit=150) == (
        "100 of 200 examples (50.0%) are cut to 100 tokens, the longest had 200; "
        "the model reads 150 tokens at most, which would keep 75.0% whole"
    )
    few = facts_of([*range(1, 201)], 199, limit=512)
    assert cut_note(few, max_length=199, limit=512) == (
        "1 of 200 examples (0.5%) are cut to 199 tokens, the longest had 200"
    )
    none = facts_of([5, 6], 128, limit=512)
    assert cut_note(none, max_length=128, limit=512) is None
    assert (none["longest"], none["keeps_99"]) == (6, 6)


def test_whole_lengths_of_texts_and_pairs_are_those_without_a_limit(tokenizer):
    texts = ["film", "a good film " * 40, "a " * 100_000]
    found = tokenize(Split("train", texts, [0, 1, 0]), tokenizer, max_length=16)
    assert found.truncated == 2
    assert found.lengths.tolist() == [3, 16, 16]
    assert found.whole_lengths.tolist() == [122, 100_002]
    pairs = Split("train", ["a good film"] * 2, [0, 1], pairs=["a " * 50, "film"])
    both = tokenize(pairs, tokenizer, max_length=16)
    assert both.whole_lengths.tolist() == [3 + 50 + 3]
    assert tokenize(pairs, tokenizer, max_length=16).whole_lengths.tolist() == [56]
