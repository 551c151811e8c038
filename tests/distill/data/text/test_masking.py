from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from distill.data.batches import make_collate
from distill.data.text.corpus import pack
from distill.data.text.masking import IGNORED, MaskedSequences, Masking
from distill.data.text.rows import SpecialTokens, TextSequences


@pytest.fixture
def rows(corpus, tokenizer):
    def build(*, documents: int = 60, **settings) -> MaskedSequences:
        settings = {"nsp": True, "seed": 4, "share": 0.15, "whole_words": False} | settings
        text = corpus(documents=documents)
        packed = pack(text, max_length=48, pair=settings["nsp"], hold_out=False, seed=0)
        plain = TextSequences(text, packed.train, SpecialTokens(tokenizer))
        masking = Masking(tokenizer, share=settings["share"], whole_words=settings["whole_words"])
        return MaskedSequences(plain, masking, seed=settings["seed"], nsp=settings["nsp"])

    return build


def test_so_many_tokens_and_never_special_ones(rows, tokenizer) -> None:
    found = rows()
    special = set(tokenizer.all_special_ids)
    for index in range(len(found)):
        row = found[2, index]
        labels, ids = row["mlm_labels"], row["input_ids"]
        asked = labels != IGNORED
        original = np.where(asked, labels, ids)
        maskable = [token not in special for token in original.tolist()]
        assert asked.sum() == max(1, round(0.15 * sum(maskable)))
        assert not asked[~np.array(maskable)].any()
        # What is not asked for stands as it was.
        start, middle = found.rows[index, :2].tolist()
        assert original[1 : 1 + middle - start].tolist() == found.corpus.ids[start:middle].tolist()
    assert set(ids[[0, -1]].tolist()) == {tokenizer.cls_token_id, tokenizer.sep_token_id}


def test_eighty_ten_ten(tokenizer) -> None:
    masking = Masking(tokenizer, share=0.5)
    random = np.random.default_rng(0)
    word = tokenizer.convert_tokens_to_ids("film")
    ids = np.full(200_000, word, dtype=np.int64)
    read, told = masking.apply(ids, random)
    asked = told != IGNORED
    assert asked.sum() == 100_000
    assert (told[asked] == word).all()
    assert (read[~asked] == word).all()
    kinds = Counter(
        "mask" if token == tokenizer.mask_token_id else "same" if token == word else "other"
        for token in read[asked].tolist()
    )
    # Standard deviations are 126 and 95: five of them.
    assert abs(kinds["mask"] - 80_000) < 650
    assert abs(kinds["other"] - 10_000 * (1 - 1 / len(masking.words))) < 480
    assert abs(kinds["same"] - 10_000) < 600
    others = Counter(read[asked].tolist())
    del others[tokenizer.mask_token_id], others[word]
    assert set(others).isdisjoint(tokenizer.all_special_ids)
    assert len(others) == len(masking.words) - 1  # any other token may come


def test_masks_are_a_function_of_seed_epoch_and_row(rows) -> None:
    found, same, other = rows(), rows(), rows(seed=5)

    def labels(which: MaskedSequences, epoch: int) -> list[list[int]]:
        return [which[epoch, index]["mlm_labels"].tolist() for index in range(40)]

    assert labels(found, 1) == labels(same, 1)
    assert labels(found, 1) != labels(found, 2)
    assert labels(found, 1) != labels(other, 1)
    assert found[5]["input_ids"].tolist() == found[0, 5]["input_ids"].tolist()


def test_whole_words(rows, tokenizer) -> None:
    masking = Masking(tokenizer, share=0.3, whole_words=True)
    tokens = [
        "[CLS]",
        "the",
        "##ing",
        "##ed",
        "film",
        "good",
        "##ness",
        "[SEP]",
        "##s",
        "a",
        "[SEP]",
    ]
    ids = np.array(tokenizer.convert_tokens_to_ids(tokens))
    words = [{1, 2, 3}, {4}, {5, 6}, {8}, {9}]
    seen: set[int] = set()
    for seed in range(200):
        _, told = masking.apply(ids, np.random.default_rng(seed))
        chosen = set(np.flatnonzero(told != IGNORED).tolist())
        assert 1 <= len(chosen) <= round(0.3 * 8)
        for word in words:
            assert word <= chosen or word.isdisjoint(chosen)
        seen |= chosen
    assert seen == {4, 5, 6, 8, 9}  # the word of three is longer than the two that are due
    only = np.array(tokenizer.convert_tokens_to_ids(["[CLS]", "the", "##ing", "##ed", "[SEP]"]))
    _, told = masking.apply(only, np.random.default_rng(0))
    assert np.flatnonzero(told != IGNORED).tolist() == [1, 2, 3]


def segments(found: MaskedSequences, epoch: int, index: int) -> tuple[list[int], list[int], int]:
    row = found[epoch, index]
    ids = np.where(row["mlm_labels"] == IGNORED, row["input_ids"], row["mlm_labels"])
    types = row["token_type_ids"]
    return ids[types == 0][1:-1].tolist(), ids[types == 1][:-1].tolist(), row["nsp_labels"]


@pytest.mark.parametrize("epoch", [0, 7])
def test_half_of_the_pairs_are_true_and_every_segment_is_read_once(rows, epoch: int) -> None:
    found = rows()
    ids, table = found.corpus.ids, found.rows
    read: Counter[tuple[int, ...]] = Counter()
    answers: Counter[int] = Counter()
    for index in range(len(found)):
        start, middle, end, document = table[index].tolist()
        first, second, answer = segments(found, epoch, index)
        answers[answer] += 1
        assert first == ids[start:middle].tolist()
        read[tuple(second)] += 1
        if answer == 0:
            assert second == ids[middle:end].tolist()
        elif answer == 1:
            partner = (index + found.shift(epoch)) % (len(found) - len(found) % 2)
            assert second == ids[slice(*table[partner, 1:3])].tolist()
            assert table[partner, 3] != document
            assert len(found[epoch, index]["input_ids"]) <= 48
    assert answers[1] == len(found) // 2
    assert answers[0] == len(found) - len(found) // 2
    assert read == Counter(tuple(ids[middle:end].tolist()) for _, middle, end, _ in table.tolist())


def test_rows_without_a_second_segment_are_not_asked(tmp_path, tokenizer) -> None:
    from distill.data.text.corpus import tokenize_text
    from distill.data.text.documents import FileSource

    path = tmp_path / "t.txt"
    path.write_text("the\n\n" + "a good film was a story\n\n" * 4 + "love\n\nbad film\n", "utf-8")
    corpus = tokenize_text(FileSource([path]), tokenizer)
    packed = pack(corpus, max_length=16, pair=True, hold_out=False, seed=0)
    plain = TextSequences(corpus, packed.train, SpecialTokens(tokenizer))
    found = MaskedSequences(plain, Masking(tokenizer), seed=0, nsp=True)
    answers = [found[0, index]["nsp_labels"] for index in range(len(found))]
    assert answers == [0, 1, 0, 1, 0, IGNORED, IGNORED]
    batch = make_collate(found)([found[0, index] for index in range(len(found))])
    assert batch["nsp_labels"].tolist() == answers
    padding = batch["attention_mask"] == 0
    assert (batch["mlm_labels"][padding] == IGNORED).all()
