"""The floors of entities, questions and sentence vectors."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from transformers import AutoTokenizer

from distill.data.split import TaskData
from distill.evaluation.predictors import FloorPredictor
from distill.evaluation.score import score
from distill.tasks.ner.task import Ner, TagFloor
from distill.tasks.ner.tokens import tagged
from distill.tasks.qa.floor import AnswerFloor
from distill.tasks.qa.task import QuestionAnswering
from distill.tasks.qa.windows import QuestionSplit
from distill.tasks.vectors.data import VectorSplit
from distill.tasks.vectors.task import Vectors
from distill.text.tags import TagSet, tags_of

TAGS = TagSet(tags_of(["person", "place"], "bio"), "bio")
OUT, B_PERSON, I_PERSON, B_PLACE = (
    TAGS.labels.index(t) for t in ("O", "B-person", "I-person", "B-place")
)


def words(name, *rows):
    split = [[pair.split("/") for pair in row.split()] for row in rows]
    tags = {"o": OUT, "p": B_PERSON, "i": I_PERSON, "l": B_PLACE}
    return tagged(
        name, [[w for w, _ in r] for r in split], [[tags[t] for _, t in r] for r in split], TAGS
    )


TRAIN = words(
    "train",
    "Ann/p Lee/i saw/o Rome/l",
    "Ann/p is/o in/o Rome/l",
    "Lee/p saw/o Ann/p Lee/i",
    "rome/o",
)
TEST = words("test", "LEE/o saw/o Ann/p Lee/i in/o Rome/l ./o", "Rome/p Ann/p Lee/i")


def test_a_words_most_frequent_tag() -> None:
    floor = TagFloor(TRAIN)
    found = {word: floor.tag(word) for word in ("Ann", "Lee", "Rome", "rome", "ROME", "LEE", "new")}
    assert found == {
        "Ann": B_PERSON, "Lee": I_PERSON, "Rome": B_PLACE, "rome": B_PLACE, "ROME": B_PLACE,
        "LEE": I_PERSON, "new": OUT,
    }  # fmt: skip


def test_entities_are_scored_as_a_models(tiny_bert) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert(words=["ann", "lee", "rome", "saw", "is"]))
    task = Ner(TAGS.labels)
    floor = task.floor(TaskData(TRAIN, TEST, None, TAGS.labels))
    for length in (16, 5):  # whole, and in windows that overlap
        rows = TEST.encode(tokenizer, max_length=length)
        scores = score(
            FloorPredictor(floor.on(TEST, rows, tokenizer), "x"), rows, task, batch_size=2
        )
        # Found: LEE, Ann Lee, Rome; Rome, Ann Lee. Right: Ann Lee, Rome, Ann Lee of four real ones.
        assert scores["precision"] == pytest.approx(3 / 5)
        assert scores["recall"] == pytest.approx(3 / 4)


CONTEXT = (
    "The Danube flows through ten countries. Vienna was visited by Anna Meyer in 1881. "
    "Nothing else was written about the old museum of the town."
)
OTHER = "The museum was closed. Its doors are green, and by the river the town was quiet in winter."


def asked(name, *rows):
    questions = [question for question, _ in rows]
    answers = [((answer, CONTEXT.index(answer)),) if answer else () for _, answer in rows]
    return QuestionSplit(
        name,
        questions,
        answers,
        pairs=[CONTEXT] * len(rows),
        ids=[str(k) for k in range(len(rows))],
    )


QUESTIONS = asked(
    "test", ("When was Vienna visited?", "1881"), ("Who visited Vienna?", "Anna Meyer"),
    ("How many countries does the Danube flow through?", "ten"),
)  # fmt: skip


def test_answers_are_found_by_shared_words(tiny_bert) -> None:
    train = QuestionSplit("train", ["a"] * 4, [()] * 4, pairs=[OTHER, CONTEXT, "the by", "in the"])
    floor = AnswerFloor(train)
    found = [floor.answer(question, CONTEXT) for question in QUESTIONS.questions]
    assert [CONTEXT[start:end] for start, end in found[:2]] == ["1881", "Anna Meyer"]
    start, end = found[2]
    assert CONTEXT[start:end] in CONTEXT.partition(".")[0]
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert(words=["anna", "vienna"]))
    task = QuestionAnswering(metric="em")
    for length in (64, 36):
        rows = QUESTIONS.encode(tokenizer, max_length=length)
        predictor = FloorPredictor(floor.on(QUESTIONS, rows, tokenizer), "x")
        assert score(predictor, rows, task)["em"] >= 0.66


def test_nothing_is_answered_where_too_little_is_shared() -> None:
    rows = [
        ("When was Vienna visited?", "1881"),
        ("Which whale sang loudest yesterday?", None),
    ] * 20
    split = asked("train", *rows)
    floor = QuestionAnswering(no_answer=True).floor(TaskData(split, split, None, ()))
    assert floor.answer("Where do pigeons sleep tonight?", CONTEXT) is None
    assert floor.answer("When was Vienna visited?", CONTEXT) is not None


def test_cosines_are_those_of_the_tf_idfs() -> None:
    train = VectorSplit(
        "train", ["a big cat", "one dog ran"], [1.0, 0.0], pairs=["big cats", "no dog"]
    )
    held = VectorSplit("test", ["a cat", "no dog"], [4.0, 1.0], pairs=["big cat", "a cat ran"])
    floor = Vectors().floor(TaskData(train, held, None, ()))
    vectors = floor.on(held, None, None)(np.array([3, 0, 1, 2]), 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    wanted = np.zeros(2)
    for options in (
        {"token_pattern": r"(?u)\w+|[^\w\s]", "ngram_range": (1, 2)},
        {"analyzer": "char_wb", "ngram_range": (2, 4)},
    ):
        tf_idf = TfidfVectorizer(sublinear_tf=True, **options).fit([*train.texts, *train.pairs])
        first, second = (tf_idf.transform(texts) for texts in (held.texts, held.pairs))
        wanted += np.asarray(first.multiply(second).sum(1)).ravel() / 2
    found = [vectors[1] @ vectors[2], vectors[3] @ vectors[0]]
    np.testing.assert_allclose(found, wanted, atol=1e-5)
