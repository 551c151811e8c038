from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.tasks.ner.tokens import TaggedSplit, join, tagged
from distill.text.tags import TagSet, tags_of

TAGS = TagSet(tags_of(["person", "place"], "bio"), "bio")


def split(*rows: str) -> TaggedSplit:
    """Rows such as ``Ann/B-person sings/O``."""
    pairs = [[word.rpartition("/") for word in row.split()] for row in rows]
    words = [[word for word, _, _ in row] for row in pairs]
    tags = [[TAGS.labels.index(tag) for _, _, tag in row] for row in pairs]
    return tagged("train", words, tags, TAGS)


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


def test_entities_are_told_in_characters() -> None:
    rows = split("Ann/B-person Lee/I-person in/O Rome/B-place")
    assert rows.texts == ["Ann Lee in Rome"]
    assert rows.entities(0) == [(0, 0, 7), (1, 11, 15)]


def test_digests_tell_rows_apart() -> None:
    one = split("Ann/B-person sings/O")
    assert one.digest() == one.renamed("validation").digest()
    assert one.digest() != split("Ann/B-place sings/O").digest()
    assert one.text_digest == split("Ann/B-place sings/O").text_digest
    assert one.text_digest != split("Ann/B-person", "sings/O").text_digest
    assert one.take([0]).digest() == one.digest()
    assert len(one.take([0, 0])) == 2
