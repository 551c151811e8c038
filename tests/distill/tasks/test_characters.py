"""What a teacher says of its own tokens is carried to tokens of another tokenizer by characters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_tokenizers import KINDS, trained

from distill.tasks.decoder import softmax
from distill.tasks.ner import characters as words
from distill.tasks.ner.task import Ner
from distill.tasks.ner.tokens import IGNORED, TaggedDataset, tagged
from distill.tasks.qa import characters as spans
from distill.tasks.qa.task import QuestionAnswering
from distill.tasks.qa.windows import OUTSIDE, QuestionSplit, WindowedDataset
from distill.text.tags import TagSet, tags_of

SENTENCES = [
    "Ada Lovelace met Charles Babbage in London on 5 June 1833, at a party of Mrs. Somerville's.",
    "The Grands-Boulevards of Paris (France) were drawn by Éva Gonzalès; she died in 1883.",
    "Mr. O'Neill paid $1,200.50 to the Rijksmuseum @ Amsterdam for a drawing of a windmill.",
]
TAGS = TagSet(tags_of(["name", "place"], "bio"), "bio")


def tagged_rows(kind: str, *, max_length: int = 128) -> TaggedDataset:
    rows = [sentence.split() for sentence in SENTENCES]
    split = tagged("train", rows, [[0] * len(row) for row in rows], TAGS, stride=4)
    return split.encode(trained(kind, SENTENCES), max_length=max_length)


def asked_rows(kind: str, *, max_length: int = 128, stride: int = 8) -> WindowedDataset:
    split = QuestionSplit(
        "train",
        ["Who was it?"] * 3,
        [((sentence[4:12], 4),) for sentence in SENTENCES],
        SENTENCES,
        ids=["a", "b", "c"],
        stride=stride,
        max_question=12,
    )
    return split.encode(trained(kind, SENTENCES), max_length=max_length)


def drawn(rows: Any, outputs: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.normal(0, 3, (int(rows.lengths.sum()), outputs)).astype(np.float32)


def of_words(rows: TaggedDataset, flat: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """The distribution of each word, by its row and first character."""
    texts = np.repeat(rows.rows, rows.lengths)[rows.labels != IGNORED]
    shares = softmax(flat[rows.labels != IGNORED])
    keys = zip(texts.tolist(), rows.chars[:, 0].tolist(), strict=True)
    return dict(zip(keys, shares, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_length", [24, 128])
def test_tags_of_the_same_tokens_stay(kind: str, max_length: int) -> None:
    rows = tagged_rows(kind, max_length=max_length)
    logits = drawn(rows, 5)
    task = Ner(TAGS.labels)
    assert task.carried(logits, rows, tagged_rows(kind, max_length=max_length)) is logits
    found = words.by_characters(logits, rows, rows, tag_set=TAGS)
    there = rows.labels != IGNORED
    assert np.allclose(softmax(found[there]), softmax(logits[there]), atol=1e-5)
    assert not found[~there].any()


@pytest.mark.parametrize("kind", ["bytes", "unigram"])
def test_tags_go_to_the_same_words_of_other_tokens_and_windows(kind: str) -> None:
    theirs, ours = tagged_rows(kind, max_length=24), tagged_rows("wordpiece", max_length=128)
    assert len(theirs) > len(ours) == 3
    logits = drawn(theirs, 5)
    found = of_words(ours, Ner(TAGS.labels).carried(logits, theirs, ours))
    given = of_words(theirs, logits)
    common = set(found) & set(given)
    # GPT-2's "'s" is one word; the student's "s" is a part of it.
    assert len(found) - 1 <= len(common) >= 40
    for place in common:
        assert np.allclose(found[place], given[place], atol=1e-5)


def test_parts_of_a_word_begin_no_entity_again() -> None:
    """The teacher reads whole what the student reads in three words."""
    theirs, ours = tagged_rows("wordpiece"), tagged_rows("wordpiece")
    whole = np.flatnonzero(theirs.chars[:, 0] == SENTENCES[1].index("Grands"))[0]
    chars = np.delete(theirs.chars, [whole + 1, whole + 2], axis=0)
    chars[whole, 1:] = theirs.chars[whole + 2, 2]
    labels = theirs.labels.copy()
    labels[np.flatnonzero(labels != IGNORED)[[whole + 1, whole + 2]]] = IGNORED

    class Merged(TaggedDataset):
        @property
        def chars(self) -> Any:
            return chars

        @property
        def labels(self) -> Any:
            return labels

    merged = Merged(theirs.store, digest="merged", pad_id=0)
    logits = drawn(merged, 5)
    found = words.by_characters(logits, merged, ours, tag_set=TAGS)[ours.labels != IGNORED]
    said = softmax(logits[labels != IGNORED])[whole]
    assert np.allclose(softmax(found)[whole], said, atol=1e-5)
    inside = [said[0], 0, said[1] + said[2], 0, said[3] + said[4]]
    for part in (whole + 1, whole + 2):
        assert np.allclose(softmax(found)[part], inside, atol=1e-5)
    bioes = TagSet(tags_of(["x"], "bioes"), "bioes")
    told = {ends: bioes.inside(first=ends[0], last=ends[1]) for ends in [(1, 0), (0, 0), (0, 1)]}
    named = {ends: [bioes.labels[tag] for tag in tags] for ends, tags in told.items()}
    assert bioes.labels == ("O", "B-x", "I-x", "E-x", "S-x")
    assert named[1, 0] == ["O", "B-x", "I-x", "I-x", "B-x"]
    assert named[0, 0] == ["O", "I-x", "I-x", "I-x", "I-x"]
    assert named[0, 1] == ["O", "I-x", "I-x", "E-x", "E-x"]


def of_windows(rows: WindowedDataset, flat: np.ndarray) -> list[np.ndarray]:
    """The distributions of each window over the first token and those of the context."""
    found = []
    for number, start in enumerate(rows.starts[:-1]):
        own = flat[start : start + rows.lengths[number]]
        found.append(softmax(own[rows[number]["labels"] != OUTSIDE].T).T)
    return found


def test_answers_of_the_same_tokens_stay() -> None:
    rows = asked_rows("wordpiece")
    logits = drawn(rows, 2)
    assert QuestionAnswering().carried(logits, rows, asked_rows("wordpiece")) is logits
    found = of_windows(rows, spans.by_characters(logits, rows, rows))
    for own, given in zip(found, of_windows(rows, logits), strict=True):
        assert np.allclose(own, given, atol=1e-5)


@pytest.mark.parametrize("kind", ["bytes", "unigram"])
@pytest.mark.parametrize("lengths", [(40, 128), (128, 40), (40, 36)])
def test_an_answer_is_found_in_other_tokens_and_windows(
    kind: str, lengths: tuple[int, int]
) -> None:
    theirs = asked_rows(kind, max_length=lengths[0])
    ours = asked_rows("wordpiece", max_length=lengths[1])
    logits = np.zeros((int(theirs.lengths.sum()), 2), dtype=np.float32)
    for number, spot in enumerate(theirs.spans):  # sure of the answer, and of where it is not
        for column in range(2):
            logits[theirs.starts[number] + spot[column], column] = 12.0
    flat = QuestionAnswering().carried(logits, theirs, ours)
    assert flat.shape == (ours.lengths.sum(), 2)
    for number, (start, end) in enumerate(ours.spans):
        own = flat[ours.starts[number] : ours.starts[number] + ours.lengths[number]]
        assert own.argmax(axis=0).tolist() == [start, end]
        assert softmax(own.T).T.max(axis=0).min() > 0.9
