from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.text.tags import SCHEMES, TagSet, tags_of

TYPES = ["person", "creative-work"]
BIO = TagSet(tags_of(TYPES, "bio"), "bio")
BIOES = TagSet(tags_of(TYPES, "bioes"), "bioes")


def numbers(tag_set: TagSet, text: str) -> list[int]:
    return [tag_set.labels.index(tag) for tag in text.split()]


@pytest.mark.parametrize(
    ("tag_set", "text", "word", "why"),
    [
        (BIO, "O I-person", 1, "'I-person' follows 'O', but goes on with an entity"),
        (BIO, "I-person O", 0, "'I-person' comes first, but goes on with an entity"),
        (BIO, "B-person I-creative-work", 1, "'I-creative-work' follows 'B-person'"),
        (BIOES, "B-person O", 0, "'B-person' is followed by 'O', before the entity ends"),
        (BIOES, "O B-person", 1, "'B-person' is followed by nothing"),
        (BIOES, "S-person I-person E-person", 1, "'I-person' follows 'S-person'"),
        (BIOES, "B-person E-person E-person", 2, "'E-person' follows 'E-person'"),
    ],
)
def test_what_breaks_the_scheme_is_told(tag_set: TagSet, text: str, word: int, why: str) -> None:
    found = tag_set.issue(numbers(tag_set, text))
    assert found is not None
    assert found.word == word
    assert why in found.why


SEQUENCES = st.lists(st.integers(0, 8), max_size=12)


@settings(max_examples=300, deadline=None)
@given(scheme=st.sampled_from(sorted(SCHEMES)), drawn=SEQUENCES)
def test_legal_sequences_are_those_that_are_written(scheme: str, drawn: list[int]) -> None:
    tag_set = BIO if scheme == "bio" else BIOES
    tags = [tag % len(tag_set.labels) for tag in drawn]
    legal = tag_set.issue(tags) is None
    assert legal == (tag_set.write(tag_set.read(tags), len(tags)) == tags)
    fixed = tag_set.write(tag_set.read(tags, strict=False), len(tags))
    assert tag_set.issue(fixed) is None
    if legal:
        assert tag_set.read(tags) == tag_set.read(tags, strict=False)
        assert fixed == tags


@settings(max_examples=300, deadline=None)
@given(scheme=st.sampled_from(sorted(SCHEMES)), strict=st.booleans(), drawn=SEQUENCES)
def test_entities_are_those_of_seqeval(scheme: str, strict: bool, drawn: list[int]) -> None:
    entities = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
    schemes = pytest.importorskip("seqeval.scheme")
    tag_set = BIO if scheme == "bio" else BIOES
    tags = [tag % len(tag_set.labels) for tag in drawn]
    names = [tag_set.labels[tag] for tag in tags]
    found = {(tag_set.types[s.type], s.start, s.end) for s in tag_set.read(tags, strict=strict)}
    if strict:
        kind = schemes.IOB2 if scheme == "bio" else schemes.IOBES
        expected = {(e.tag, e.start, e.end) for e in schemes.Tokens(names, kind).entities}
    else:
        expected = {(name, start, end + 1) for name, start, end in entities(names)}
    assert found == expected


@pytest.mark.parametrize(
    ("labels", "what"),
    [(["O", "B-x"], "'I-x' is missing"), (["B-x", "I-x"], "'O' is missing"), (["O", "x"], "'x'")],
)
def test_a_set_of_tags_must_be_whole(labels: list[str], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        TagSet(labels, "bio")
