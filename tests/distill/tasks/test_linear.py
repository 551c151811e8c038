"""The linear floor: scikit-learn's own pipeline by hand gives the same; pairs, labels, numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from distill.data.split import Split, TaskData
from distill.tasks.classification.task import Classification
from distill.tasks.linear import linear_floor
from distill.tasks.multi_label.task import MultiLabel
from distill.tasks.regression.task import Regression

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


def test_fitted_twice_it_is_the_same() -> None:
    found = data(("bad", "good"), one_label)
    one, two = (linear_floor(Classification(["bad", "good"]), found) for _ in range(2))
    np.testing.assert_array_equal(one.weights, two.weights)


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
