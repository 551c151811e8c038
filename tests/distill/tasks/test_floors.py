"""The floors: of entities, questions and sentence vectors; of labels scikit-learn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from transformers import AutoTokenizer

from distill.data.split import Split, TaskData
from distill.evaluation.predictors import FloorPredictor
from distill.evaluation.score import score
from distill.tasks.classification.task import Classification
from distill.tasks.linear import linear_floor
from distill.tasks.multi_label.task import MultiLabel
from distill.tasks.ner.task import Ner, TagFloor
from distill.tasks.ner.tokens import tagged
from distill.tasks.qa.floor import AnswerFloor
from distill.tasks.qa.task import QuestionAnswering
from distill.tasks.qa.windows import QuestionSplit
from distill.tasks.regression.task import Regression
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


GOOD, BAD = ["good", "great", "fine", "lovely"], ["bad", "awful", "dull", "poor"]


def texts(count: int, seed: int) -> tuple[list[str], list[int]]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count).tolist()
    words = [random.choice((BAD, GOOD)[label]) for label in labels]
    return [f"the film number {n} is {word} !" for n, word in enumerate(words)], labels


def data(labels: tuple[str, ...], make) -> TaskData:
    train, held = make("train", 120, 0), make("validation", 40, 1)
    return TaskData(train, held, None, labels)


def answers(floor, split) -> np.ndarray:
    return floor.on(split, None, None)(np.arange(len(split)), 8)


def one_label(name: str, count: int, seed: int) -> Split:
    return Split(name, *texts(count, seed))


def test_it_is_scikit_learns_pipeline() -> None:
    found = data(("bad", "good"), one_label)
    floor = linear_floor(Classification(["bad", "good"]), found)
    words = TfidfVectorizer(
        token_pattern=r"(?u)\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32
    ).fit(found.train.texts)
    signs = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, dtype=np.float32
    ).fit(found.train.texts)
    rows, held = (
        sparse.hstack([words.transform(split.texts), signs.transform(split.texts)])
        for split in (found.train, found.validation)
    )
    by_hand = LogisticRegression(C=1.0, solver="liblinear", tol=1e-3, random_state=0).fit(
        rows, found.train.labels
    )
    logits = answers(floor, found.validation)
    assert logits.shape == (40, 2)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(
        logits[:, 1] - logits[:, 0], by_hand.decision_function(held), atol=1e-4
    )
    assert (logits.argmax(1) == found.validation.labels).mean() == 1.0
    assert floor.parameters == sum(len(v.vocabulary_) for v in (words, signs)) * 3 + 2
    assert 4 * floor.parameters < floor.bytes < 10 * floor.parameters + 50_000
    again = linear_floor(Classification(["bad", "good"]), found)
    np.testing.assert_array_equal(floor.weights, again.weights)


def test_pairs_are_compared() -> None:
    def pairs(name: str, count: int, seed: int) -> Split:
        random = np.random.default_rng(seed)
        words = [f"word{k}" for k in range(60)]
        first = [" ".join(random.choice(words, 6, replace=False)) for _ in range(count)]
        labels = random.integers(0, 2, count).tolist()
        second = [
            " ".join(random.permutation(text.split()))
            if same
            else " ".join(random.choice(words, 6))
            for text, same in zip(first, labels, strict=True)
        ]
        return Split(name, first, labels, pairs=second)

    found = data(("other", "same"), pairs)
    floor = linear_floor(Classification(["other", "same"]), found)
    # No word says anything by itself.
    assert (answers(floor, found.validation).argmax(1) == found.validation.labels).mean() > 0.95


def test_several_labels_and_one_that_nothing_has() -> None:
    def several(name: str, count: int, seed: int) -> Split:
        rows, labels = texts(count, seed)
        return Split(name, rows, [(label, 2) if label else () for label in labels], outputs=4)

    found = data(("bad", "good", "film", "never"), several)
    task = MultiLabel(["bad", "good", "film", "never"])
    logits = answers(linear_floor(task, found), found.validation)
    assert ((logits > 0) == found.validation.targets).all()
    assert (logits[:, [0, 3]] < -20).all()


def test_numbers() -> None:
    def numbers(name: str, count: int, seed: int) -> Split:
        rows, labels = texts(count, seed)
        return Split(name, rows, [4.5 if label else 0.5 for label in labels])

    found = data((), numbers)
    logits = answers(linear_floor(Regression(), found), found.validation)
    assert logits.shape == (40, 1)
    assert np.corrcoef(logits[:, 0], found.validation.labels)[0, 1] > 0.9


def test_balanced_weights_count() -> None:
    def rare(name: str, count: int, seed: int) -> Split:
        random = np.random.default_rng(seed)
        labels = (random.random(count) < 0.1).astype(int).tolist()
        rows = [
            f"{random.choice(GOOD + BAD)} {'yes' if label else random.choice(['yes', 'no'])}"
            for label in labels
        ]
        return Split(name, rows, labels)

    found = data(("no", "yes"), rare)
    plain = Classification(["no", "yes"])
    weighted = Classification(["no", "yes"], class_weights={"no": 0.55, "yes": 5.0})
    given = [
        (answers(linear_floor(task, found), found.validation).argmax(1)).sum()
        for task in (plain, weighted)
    ]
    assert given[0] < given[1]


@pytest.mark.parametrize("text", ["?", "一", "a"])
def test_single_signs_are_texts(text: str) -> None:
    found = TaskData(
        Split("train", [text, "b"], [0, 1]), Split("validation", [text], [0]), None, ("a", "b")
    )
    floor = linear_floor(Classification(["a", "b"]), found)
    assert answers(floor, found.validation).argmax() == 0
