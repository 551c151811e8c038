from dataclasses import replace

from distill.data.split import Split, shared_with_training

ROWS = Split("train", ["a", "b", "c"], [0, 1, 0], pairs=["x", "y", "z"])


def test_digest_is_of_content_and_not_of_the_name():
    assert ROWS.digest() == replace(ROWS, name="test").digest()
    others = [
        Split("train", ["a", "b", "c"], [0, 1, 1], pairs=["x", "y", "z"]),
        Split("train", ["a", "b", "c"], [0, 1, 0]),
        Split("train", ["a", "b", "C"], [0, 1, 0], pairs=["x", "y", "z"]),
        Split("train", ["x", "y", "z"], [0, 1, 0], pairs=["a", "b", "c"]),
        Split("train", ["ab", "", "c"], [0, 1, 0], pairs=["x", "y", "z"]),
    ]
    assert len({ROWS.digest(), *(other.digest() for other in others)}) == 6


def test_rows_of_training_are_counted_in_the_others():
    splits = {
        "train": Split("train", ["a", "b", "c", "c"], [0, 1, 0, 1]),
        "validation": Split("validation", ["c", "d", "c", "A"], [0, 0, 0, 0]),
        "test": Split("test", ["e"], [0]),
    }
    assert shared_with_training(splits) == [
        "validation: 2 of 4 examples stand in the training examples too (the same text); "
        "scores on them flatter"
    ]


def test_pairs_are_the_same_when_both_texts_are():
    train = Split("train", ["a", "b"], [0, 1], pairs=["x", "y"])
    other = Split("test", ["a", "b"], [0, 1], pairs=["y", "y"])
    (note,) = shared_with_training({"train": train, "test": other})
    assert note.startswith("test: 1 of 2 examples stand")
