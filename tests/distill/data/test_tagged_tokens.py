from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from distill.data.batches import make_collate
from distill.system.errors import DataError
from distill.tasks.ner.tokens import IGNORED, TaggedDataset, TaggedSplit, join, tagged
from distill.text.tags import TagSet, tags_of

TAGS = TagSet(tags_of(["person", "place"], "bio"), "bio")


@pytest.fixture
def tokenizer(tiny_bert: Callable[..., Path]) -> Any:
    return AutoTokenizer.from_pretrained(tiny_bert(words=["ann", "lee", "rome"]))


def split(*rows: str, tag_set: TagSet = TAGS, stride: int | None = None) -> TaggedSplit:
    """Rows such as ``Ann/B-person sings/O``."""
    pairs = [[word.rpartition("/") for word in row.split()] for row in rows]
    words = [[word for word, _, _ in row] for row in pairs]
    tags = [[tag_set.labels.index(tag) for _, _, tag in row] for row in pairs]
    return tagged("train", words, tags, tag_set, stride=stride)


def labelled(rows: TaggedDataset, tokenizer: Any, tag_set: TagSet = TAGS) -> list[list[str]]:
    """Each window's labelled tokens, as ``token/tag``."""
    found = []
    for item in (rows[index] for index in range(len(rows))):
        tokens = tokenizer.convert_ids_to_tokens(item["input_ids"].tolist())
        pairs = zip(tokens, item["labels"].tolist(), strict=True)
        found.append([f"{t}/{tag_set.labels[tag]}" for t, tag in pairs if tag != IGNORED])
    return found


def test_first_pieces_of_units_are_labelled(tokenizer: Any) -> None:
    rows = split("Ann/B-person @lee/I-person acted/O in/O Rome./B-place", "Ann/B-person").encode(
        tokenizer, max_length=32
    )
    # A word of several of the tokenizer's goes on with its entity, whatever its tag.
    assert labelled(rows, tokenizer) == [
        ["ann/B-person", "@/I-person", "lee/I-person", "a/O", "in/O", "rome/B-place", "./I-place"],
        ["ann/B-person"],
    ]
    assert rows[0]["labels"][0] == rows[0]["labels"][-1] == IGNORED
    assert [rows[index]["row"] for index in range(2)] == [0, 1]


def test_bioes_ends_where_the_last_unit_does(tokenizer: Any) -> None:
    tag_set = TagSet(tags_of(["person"], "bioes"), "bioes")
    rows = split("@ann/S-person ann/S-person", tag_set=tag_set).encode(tokenizer, max_length=32)
    assert labelled(rows, tokenizer, tag_set) == [["@/B-person", "ann/E-person", "ann/S-person"]]


def test_long_rows_are_windows_and_nothing_is_lost(tokenizer: Any) -> None:
    long = " ".join(f"{word}/O" for word in ["good", "film"] * 20) + " Ann/B-person Lee/I-person"
    rows = split("Ann/B-person", long, stride=4).encode(tokenizer, max_length=16)
    assert rows.rows.tolist() == [0, 1, 1, 1, 1]
    words = [pair for window in labelled(rows, tokenizer)[1:] for pair in window]
    assert words == [*(["good/O", "film/O"] * 20), "ann/B-person", "lee/I-person"]
    assert rows.lengths.max() == 16
    assert rows.notes(max_length=16, limit=128) == [
        "1 of 2 examples are longer than 16 tokens; they are read in 4 windows"
    ]


def test_entities_without_tokens_are_told(tokenizer: Any) -> None:
    rows = split("\u200b/B-person Ann/O", "\u200b/O").encode(tokenizer, max_length=16)
    assert labelled(rows, tokenizer) == [["ann/O"]]
    assert rows.lost == 1
    (note,) = rows.notes(max_length=16, limit=128)
    assert note.startswith("1 entities have no token")
    with pytest.raises(DataError, match="makes no token of any word"):
        split("\u200b/O").encode(tokenizer, max_length=16)


def test_batches_are_padded_with_ignored_labels(tokenizer: Any) -> None:
    rows = split("Ann/B-person sings/O", "Ann/B-person").encode(tokenizer, max_length=16)
    batch = make_collate(rows)([rows[0], rows[1]])
    assert batch["labels"].shape == batch["input_ids"].shape
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()
    assert (batch["labels"] != IGNORED).sum(dim=1).tolist() == [2, 1]
    assert batch["row"].tolist() == batch["index"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["in", "New", "York", "."], "in New York ."),
        (["北", "京", "是"], "北京是"),
        (["我", "爱", "BERT", "模型"], "我爱 BERT 模型"),
        (["שלום", "עולם"], "שלום עולם"),
        (["🎉", "👍🏽"], "🎉 👍🏽"),
        (["한국", "서울"], "한국 서울"),
    ],
)
def test_words_are_joined_as_they_are_written(words: list[str], text: str) -> None:
    assert join(words)[0] == text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(min_size=1), max_size=8))
def test_each_word_stands_where_it_is_said_to(words: list[str]) -> None:
    text, starts, ends = join(words)
    found = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    assert found == words
