import hashlib
import re
from collections import Counter
from itertools import pairwise

import pytest

from distill.data.sources import docsearch as source
from distill.data.sources.docsearch import Entry
from distill.data.sources.docstrings import Library


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("find_best_split", "find best split"),
        ("LinearRegression", "linear regression"),
        ("HTTPServerError", "http server error"),
        ("to_CSV", "to csv"),
        ("sha256", "sha 256"),
        ("getURL2", "get url 2"),
        ("HTTPServer.close_all", "http server close all"),
    ],
)
def test_a_name_in_words(identifier, words):
    assert source.in_words(identifier) == words


def entries(module, count, start=0):
    return [
        Entry("lib", module, f"open file {n}", f"Opens the file with number {n} for reading.")
        for n in range(start, start + count)
    ]


def test_each_description_stands_once_under_either_label():
    rows = source.select(entries("lib/a.py", 20))
    assert len(rows) == 40
    for label in source.LABELS:
        assert len({text for _, _, text, found in rows if found == label}) == 20
        assert len({name for _, name, _, found in rows if found == label}) == 20
    right = {name: text for _, name, text, label in rows if label == "match"}
    assert all(right[name] != text for _, name, text, label in rows if label == "no match")


def test_a_wrong_description_is_of_the_same_module():
    rows = source.select([*entries("lib/a.py", 6), *entries("lib/b.py", 6, start=6)])
    assert len(rows) == 24
    assert all(
        (int(name.split()[-1]) < 6) == (int(re.findall(r"\d+", text)[0]) < 6)
        for _, name, text, _ in rows
    )


def test_names_that_share_words_are_taken_rather_than_others():
    module = [
        Entry("lib", "lib/a.py", f"{verb} the {thing}", f"What {verb} does to the {thing} here.")
        for thing in ("first file", "second row", "last page", "whole book")
        for verb in ("open", "close")
    ]
    near = 0
    for _, name, text, label in source.select(module):
        near += label == "no match" and name.split(" the ")[1] in text
    assert near >= 6


def test_a_description_of_two_names_is_dropped_and_one_in_two_modules_kept_once():
    same = "Says what both of them do."
    found = source.select(
        [
            *entries("lib/a.py", 5),
            *entries("lib/b.py", 5),
            Entry("lib", "lib/a.py", "first of two", same),
            Entry("lib", "lib/b.py", "second of two", same.upper()),
        ]
    )
    assert same.casefold() not in {text.casefold() for _, _, text, _ in found}
    names = Counter(name for _, name, _, label in found if label == "match")
    assert set(names.values()) == {1}


def test_a_name_without_another_in_its_module_is_no_row():
    assert source.select([Entry("lib", "lib/a.py", "all alone", "Nobody else is in here.")]) == []
    twins = [Entry("lib", "lib/a.py", "all alone", f"Number {n} of the two.") for n in range(2)]
    assert source.select(twins) == []


def test_rows_do_not_depend_on_order_and_a_folder_has_one_split():
    given = [
        Entry(f"lib/{n % 50}", f"lib/{n % 50}/{n % 100}.py", entry.name, entry.text)
        for n, entry in enumerate(entries("", 600))
    ]
    rows = source.select(given)
    assert source.select(given[::-1]) == rows
    folders: dict[int, set[str]] = {}
    for split, name, text, _ in rows:
        folders.setdefault(int(name.split()[-1]) % 50, set()).add(split)
        folders.setdefault(int(re.findall(r"\d+", text)[0]) % 50, set()).add(split)
    assert all(len(splits) == 1 for splits in folders.values())
    assert {split for split, *_ in rows} == {"train", "validation", "test"}


def test_public_names_of_two_words_are_read_from_source_files(tmp_path, monkeypatch):
    folder = tmp_path / "madeup_library"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        '''"""The module itself has no name."""
raise SystemExit("imported")
class BestSplit:
    """Holds the best split of a node."""
    def __init__(self):
        """Makes it from its two parts."""
    def fit(self):
        """Compute it from the sorted values."""
    def find_it(self):
        """Look for it in the sorted values."""
    def _hidden_one(self):
        """Not to be called from outside."""
class _Hidden:
    def find_it(self):
        """Nor is what is in here."""
def one():
    """One word is too little to say."""
''',
        "utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = source.entries_of(Library("madeup", "madeup_library", ("madeup",)))
    module = "madeup_library/__init__.py"
    assert found == [
        Entry("madeup_library", module, "best split", "Holds the best split of a node."),
        Entry("madeup_library", module, "best split find it", "Look for it in the sorted values."),
        Entry("madeup_library", module, "best split fit", "Compute it from the sorted values."),
    ]


@pytest.fixture(scope="module")
def installed():
    return source.gather()


@pytest.mark.slow
def test_installed_libraries_give_tens_of_thousands_of_balanced_rows(installed):
    assert len(installed) > 20_000
    splits = ("train", "validation", "test")
    for split in splits:
        labels = Counter(label for role, _, _, label in installed if role == split)
        assert labels["match"] == labels["no match"] > 800
    kept = {split: {t for s, _, t, _ in installed if s == split} for split in splits}
    assert all(a.isdisjoint(b) for a, b in pairwise([*kept.values(), next(iter(kept.values()))]))


@pytest.mark.slow
def test_the_same_libraries_give_the_same_rows_again(installed):
    def digest(rows):
        return hashlib.sha256(repr(rows).encode()).hexdigest()

    assert digest(source.gather()) == digest(installed)
