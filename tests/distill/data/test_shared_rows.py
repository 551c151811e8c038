from distill.data.shared_rows import shared_rows
from distill.data.split import Split


def test_rows_of_training_are_counted_in_the_others():
    splits = {
        "train": Split("train", ["a", "b", "c", "c"], [0, 1, 0, 1]),
        "validation": Split("validation", ["c", "d", "c", "A"], [0, 0, 0, 0]),
        "test": Split("test", ["e"], [0]),
    }
    assert shared_rows(splits) == [
        "validation: 2 of 4 rows stand in the training rows too (the same text); "
        "scores on them flatter"
    ]


def test_pairs_are_the_same_when_both_texts_are():
    train = Split("train", ["a", "b"], [0, 1], pairs=["x", "y"])
    other = Split("test", ["a", "b"], [0, 1], pairs=["y", "y"])
    (note,) = shared_rows({"train": train, "test": other})
    assert note.startswith("test: 1 of 2 rows stand")
