import logging
import os
import pickle

import numpy as np
import pytest

from distill.data.split import Split
from distill.data.tokenized import cut_facts, cut_note, tokenize, unknown_note
from distill.system.errors import DataError


@pytest.fixture
def split(sentences):
    texts, labels = sentences
    return Split("train", texts, labels)


def rows_of(dataset):
    return [
        (row["input_ids"].tolist(), row["token_type_ids"].tolist(), row["labels"], row["index"])
        for row in (dataset[index] for index in range(len(dataset)))
    ]


def folder_of(cache):
    (folder,) = (cache / "tokens").iterdir()
    return folder


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("max_length", [12, 64])
def test_ids_equal_the_tokenizers_own(tokenizer, split, paired, max_length):
    pairs = [text.upper() for text in reversed(split.texts)] if paired else None
    rows = Split("train", split.texts, split.labels, pairs=pairs)
    dataset = tokenize(rows, tokenizer, max_length=max_length)
    own = tokenizer(rows.texts, pairs, truncation=True, max_length=max_length)
    expected = zip(own["input_ids"], own["token_type_ids"], rows.labels, range(64), strict=True)
    assert rows_of(dataset) == list(expected)
    assert dataset.lengths.tolist() == [len(ids) for ids in own["input_ids"]]
    whole = tokenizer(rows.texts, pairs)["input_ids"]
    assert dataset.truncated == sum(len(ids) > max_length for ids in whole)
    assert (dataset.truncated > 0) == (max_length == 12)


def test_the_tokenizers_own_limits_do_not_leak_in_and_are_left_alone(tokenizer, split):
    plain = tokenize(split, tokenizer, max_length=32)
    tokenizer.backend_tokenizer.enable_padding(length=100)
    tokenizer.backend_tokenizer.enable_truncation(5)
    limited = tokenize(split, tokenizer, max_length=32)
    assert rows_of(limited) == rows_of(plain)
    assert limited.digest == plain.digest
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 5


def test_cached_equals_fresh_and_is_read_not_made(tokenizer, split, cache, monkeypatch):
    fresh = tokenize(split, tokenizer, max_length=32)
    monkeypatch.setattr("distill.data.tokenized._fill", lambda *_: pytest.fail("made anew"))
    cached = tokenize(split, tokenizer, max_length=32)
    assert rows_of(cached) == rows_of(fresh)
    assert cached.digest == fresh.digest
    assert (cached.truncated, cached.pad_id) == (fresh.truncated, fresh.pad_id) == (0, 0)


def test_digest_changes_with_length_text_and_tokenizer(tokenizer, split, tiny_bert):
    from transformers import AutoTokenizer

    wider = AutoTokenizer.from_pretrained(tiny_bert(words=["zebra"]))
    longer = Split("train", [*split.texts[:-1], "the end"], split.labels)
    digests = {
        tokenize(split, tokenizer, max_length=32).digest,
        tokenize(split, tokenizer, max_length=33).digest,
        tokenize(split, wider, max_length=32).digest,
        tokenize(longer, tokenizer, max_length=32).digest,
    }
    assert len(digests) == 4


@pytest.mark.parametrize("name", ["ids", "lengths", "store.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damaged_cache_is_made_anew_and_said(tokenizer, split, cache, caplog, name, damage):
    fresh = rows_of(tokenize(split, tokenizer, max_length=32))
    path = folder_of(cache) / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[3] ^= 255
    path.write_bytes(content[: -4 if damage == "cut" else None])
    if damage == "remove":
        path.unlink()
    with caplog.at_level(logging.INFO, logger="distill"):
        again = tokenize(split, tokenizer, max_length=32)
    assert rows_of(again) == fresh
    assert "made anew" in caplog.text
    assert name in caplog.text


def test_pickle_holds_a_path_and_not_the_tokens(tokenizer, split):
    many = Split("train", split.texts * 200, split.labels * 200)
    dataset = tokenize(many, tokenizer, max_length=32)
    # Labels and lengths travel (20 bytes an example); ids would be several times as much.
    assert len(pickle.dumps(dataset)) < 20 * len(many) + 2000
    assert rows_of(pickle.loads(pickle.dumps(dataset))) == rows_of(dataset)


def test_more_rows_than_a_chunk(tokenizer, monkeypatch, split):
    whole = rows_of(tokenize(split, tokenizer, max_length=32))
    monkeypatch.setattr("distill.data.tokenized._CHUNK", 7)
    monkeypatch.setattr("distill.data.tokenized._VERSION", "other")
    assert rows_of(tokenize(split, tokenizer, max_length=32)) == whole


def test_length_beyond_the_models_is_refused(tokenizer, split):
    with pytest.raises(DataError, match=r"^data\.max_length: 129, .* at most 128 tokens; write"):
        tokenize(split, tokenizer, max_length=129)


def test_another_process_may_have_been_there_first(tokenizer, split, monkeypatch):
    from distill.data import tokenized

    fill = tokenized._fill

    def late(*_: object) -> None:
        monkeypatch.setattr("distill.data.tokenized._fill", fill)
        tokenize(split, tokenizer, max_length=32)
        raise OSError(39, os.strerror(39))

    monkeypatch.setattr("distill.data.tokenized._fill", late)
    assert len(tokenize(split, tokenizer, max_length=32)) == 64


def test_full_disk_is_told_in_one_line_and_leaves_nothing(tokenizer, split, cache, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("distill.data.tokenized._fill", full)
    with pytest.raises(DataError, match=r"No space left on device; free .*DISTILL_CACHE"):
        tokenize(split, tokenizer, max_length=32)
    assert list((cache / "tokens").iterdir()) == []


def test_what_the_vocabulary_lacks_is_told(tokenizer):
    def note(texts, pairs=None, max_length=7):
        rows = Split("train", texts, [0] * len(texts), pairs=pairs)
        return unknown_note(tokenize(rows, tokenizer, max_length=max_length).unknown)

    texts = ["the good film 好", "the 好 film 龘 is good 龘", "the film"]
    told = "3 of 11 subwords (27.3%) are not in the vocabulary, most often 好 龘"
    assert note(texts) == told
    assert note(texts) == told  # from the cache
    # Of a pair, in which of the two texts a subword stands.
    told = "3 of 7 subwords (42.9%) are not in the vocabulary, most often 龘 好"
    assert note(["the film 好"], pairs=["a 龘龘 film"], max_length=20) == told
    assert note(["the film"]) is None


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
