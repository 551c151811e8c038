from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from distill.data.augmentation import candidates as candidates_module
from distill.data.augmentation.candidates import Candidates
from distill.data.augmentation.generate import (
    AugmentedSplit,
    Method,
    augment,
    changed_texts,
    read_rows,
    write_rows,
)
from distill.data.augmentation.vectors import Embeddings
from distill.data.split import Split
from distill.data.tokenized import tokenize

TEXTS = [
    "The best film of the year, with a great actor!",
    "bad",
    "Not one word of it \U0001f600",
    "这部电影很好看",
    "the and of",
    "Two long scenes and a SAD story; not funny.",
]
METHOD = Method(copies=8, replace=0.5, seed=3)


@pytest.fixture
def near(reader) -> Embeddings:
    torch.manual_seed(0)
    return Embeddings(torch.randn(len(reader.subwords), 8), reader)


@pytest.fixture
def look(reader, near) -> Any:
    """Candidates of a split's texts."""

    def build(split: Split, method: Method = METHOD, count: int = 4) -> Candidates:
        return Candidates(
            changed_texts(split, method), reader, masked=None, neighbours=near, count=count
        )

    return build


def _split(pairs: bool = False) -> Split:
    return Split("train", TEXTS, [0, 1] * 3, TEXTS[::-1] if pairs else None)


def test_rows_are_changed_and_differ(look):
    split = _split()
    rows = list(augment(split, look(split), METHOD))
    for number, text in enumerate(TEXTS):
        made = [row.text for row in rows if row.row == number]
        assert len(made) == len(set(made)) <= METHOD.copies
        assert text not in made
    assert not [row for row in rows if row.row == 4]  # stop words only
    assert len([row for row in rows if row.row == 0]) > 4
    joined = " ".join(row.text for row in rows)
    assert not any(leak in joined for leak in ("##", "[MASK]", "[UNK]", "[PAD]"))


def test_what_stands_around_the_words_stays(look):
    split = _split()
    for row in augment(split, look(split), METHOD):
        old = TEXTS[row.row]
        if row.row == 0:
            words = row.text.split()
            assert [words[i] for i in (0, 3, 4, 6, 7)] == ["The", "of", "the", "with", "a"]
            assert words[5].endswith(",")
            assert row.text.endswith("!")
        if row.row == 2:
            assert row.text.startswith("Not one ")
            assert row.text.endswith(" of it \U0001f600")
        if row.row == 5:
            assert row.text.split()[5].isupper()
            assert row.text.split()[0].istitle()
        assert 0 < row.replaced <= row.words
        assert row.text != old


def test_a_row_depends_on_seed_text_and_number_alone(look):
    split = _split()
    rows = list(augment(split, look(split), METHOD))
    assert rows == list(augment(split, look(split), METHOD))
    other = Method(copies=8, replace=0.5, seed=4)
    assert rows != list(augment(split, look(split), other))
    changed = Split("train", [*TEXTS[:5], "another good film"], split.labels)
    again = list(augment(changed, look(changed), METHOD))
    assert [row for row in rows if row.row < 5] == [row for row in again if row.row < 5]


@pytest.mark.parametrize(
    ("columns", "first", "second"), [("both", 4, 4), ("text", 8, 0), ("text_pair", 0, 8)]
)
def test_of_a_pair_one_text_is_changed_and_the_other_kept(look, columns, first, second):
    split = _split(pairs=True)
    method = Method(copies=8, replace=0.6, seed=2, columns=columns)
    assert method.shares(paired=True) == (first, second)
    rows = list(augment(split, look(split, method), method))
    one = [row for row in rows if row.text != TEXTS[row.row]]
    two = [row for row in rows if row.pair != TEXTS[::-1][row.row]]
    assert len(rows) == len(one) + len(two)
    assert bool(one) == bool(first)
    assert bool(two) == bool(second)
    assert all(row.pair == TEXTS[::-1][row.row] for row in one)
    assert all(row.text == TEXTS[row.row] for row in two)
    assert max(sum(row.row == n for row in one) for n in range(6)) <= max(first, 0)


class _Proposals:
    """Stands for the model: three ids a word; counts the texts it is asked for, or fails."""

    count = 3

    def __init__(self, fail_at: int = 10**9) -> None:
        self.asked, self.fail_at = 0, fail_at

    @staticmethod
    def words(sentence: Any) -> list[Any]:
        return [word for word in sentence.words if len(word.ids) == 1]

    def __call__(self, sentences: Any) -> Any:
        if self.asked >= self.fail_at:
            raise KeyboardInterrupt
        self.asked += len(sentences)
        rows = [[word.ids[0] + k for k in (1, 2, 3)] for s in sentences for word in self.words(s)]
        return np.array(rows, dtype=np.int32).reshape(-1, 3)


@pytest.fixture
def ask(reader, near, monkeypatch) -> Any:
    monkeypatch.setattr(candidates_module, "CHUNK", 2)

    def build(model: _Proposals, texts: list[str] = TEXTS) -> Any:
        found = Candidates(texts, reader, masked=model, neighbours=near, count=3, key="a hash")
        return [[c.ids for c in choices] for _, choices in found.of(texts)]

    return build


def test_a_text_that_stands_twice_is_asked_for_once(ask):
    model = _Proposals()
    found = ask(model, [*TEXTS, *TEXTS[:3]])
    assert model.asked == len(TEXTS)
    assert found[6:] == found[:3]


def test_asking_goes_on_where_it_was_stopped(ask):
    stopped, rest = _Proposals(fail_at=4), _Proposals()
    with pytest.raises(KeyboardInterrupt):
        ask(stopped)
    found = ask(rest)
    assert (stopped.asked, rest.asked) == (4, 2)
    none = _Proposals()
    assert ask(none) == found
    assert none.asked == 0


@pytest.mark.parametrize("pairs", [False, True])
def test_rows_in_a_file_are_tokenised_from_it(look, tokenizer, tmp_path, pairs):
    split = _split(pairs)
    rows = list(augment(split, look(split), METHOD))
    path = tmp_path / "rows.jsonl.gz"
    write_rows(path, rows, split, ["no", "yes"])
    first = path.read_bytes()
    write_rows(path, rows, split, ["no", "yes"])
    assert path.read_bytes() == first
    assert [(r.row, r.text, r.pair) for r in read_rows(path)] == [r[:3] for r in rows]

    both = AugmentedSplit(split, path)
    tokens = tokenize(both, tokenizer, max_length=32)
    texts = [*TEXTS, *(row.text for row in rows)]
    seconds = [*TEXTS[::-1], *(row.pair for row in rows)] if pairs else None
    plain = Split("plain", texts, both.targets.tolist(), seconds)
    wanted = tokenize(plain, tokenizer, max_length=32)
    assert len(tokens) == len(wanted) == len(both)
    for mine, other in zip(
        (tokens[i] for i in range(len(tokens))),
        (wanted[i] for i in range(len(wanted))),
        strict=True,
    ):
        np.testing.assert_array_equal(mine["input_ids"], other["input_ids"])
        np.testing.assert_array_equal(mine["token_type_ids"], other["token_type_ids"])
        assert mine["labels"] == other["labels"]
    assert both.targets.tolist() == [*split.labels, *(split.labels[row.row] for row in rows)]
