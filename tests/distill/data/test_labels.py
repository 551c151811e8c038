import pytest

from distill.data.labels import is_unlabelled
from distill.data.sources.table import Table
from distill.recipe.schema import Columns
from distill.system.errors import DataError
from distill.tasks.classification.config import ClassificationTask
from distill.tasks.classification.task import LabelReader


def table(labels, names=None, lines=None):
    return Table("t.csv", {"label": labels}, ["text", "label"], lines=lines, label_names=names)


def integers(labels, given=None, names=None):
    found = table(labels, names)
    task = ClassificationTask.model_construct(kind="classification", labels=given)
    reader = LabelReader(Columns(), task)
    reader.bad.sift(found, reader.label_issues(found))
    _, indices, known = reader.labels({"train": found})
    return known, list(indices["train"])


def issue(labels, given=None, names=None):
    with pytest.raises(DataError) as error:
        integers(labels, given, names)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("labels", "given", "names", "expected"),
    [
        (["b", "a", "b"], None, None, (("a", "b"), [1, 0, 1])),
        ([1, 0, 2], None, None, (("0", "1", "2"), [1, 0, 2])),
        (["1", "0", "10", *map(str, range(2, 10))], None, None, None),
        ([0, 1], ["no", "yes"], None, (("no", "yes"), [0, 1])),
        (["0", "1"], ["no", "yes"], None, (("no", "yes"), [0, 1])),
        ([1, 2, 2], ["1", "2"], None, (("1", "2"), [0, 1, 1])),
        (["1", "2"], ["2", "1"], None, (("2", "1"), [1, 0])),
        ([True, False], None, None, (("false", "true"), [1, 0])),
        ([1.0, 0.0], None, None, (("0", "1"), [1, 0])),
        ([0, 1], None, ("no", "yes"), (("no", "yes"), [0, 1])),
        ([0, 1], ["yes", "no"], ("no", "yes"), (("yes", "no"), [1, 0])),
        ([0, 1], ["no", "yes", "maybe"], ("yes", "no"), (("no", "yes", "maybe"), [1, 0])),
        # What the data carry may be integers themselves.
        ([0, 1, 2], None, ("2", "1", "0"), (("2", "1", "0"), [0, 1, 2])),
        ([0, 1], ["1", "2"], ("2", "1"), (("1", "2"), [1, 0])),
        ([0, 1], ["spam", "ham"], ("1", "0"), (("spam", "ham"), [1, 0])),
        ([-1, 1], ["-1", "1"], None, (("-1", "1"), [0, 1])),
        (["-1", "1", 1.0], ["1", "-1"], None, (("1", "-1"), [1, 0, 0])),
        (["01", "02"], None, None, (("01", "02"), [0, 1])),
        (["x", 1], None, None, (("1", "x"), [1, 0])),
    ],
)
def test_labels_to_integers(labels, given, names, expected):
    if expected is None:  # integers as text are ordered as numbers: 10 after 9
        known = tuple(str(n) for n in range(11))
        expected = (known, [int(label) for label in labels])
    assert integers(labels, given, names) == expected


NAMED = ["no", "yes"]


@pytest.mark.parametrize(
    ("labels", "given", "names", "expected"),
    [
        (["a", "a"], None, None, ": all 2 examples have the label 'a'; there must be at least two"),
        (["no", "yess"], NAMED, None, " row 2: the label 'yess' is unknown; labels are 'no', 'yes"),
        ([0, 2], NAMED, None, " row 2: the label 2 is out of range; there are 2 labels ('no', 'y"),
        ([5, 1], None, None, ": labels are the integers 1, 5, not 0 to 1; name them in the recipe"),
        (
            [0, 1],
            ["No", "Yes"],
            ("no", "yes"),
            ": its labels are 'no', 'yes', and the task's are 'No', 'Yes'; 'no' is none of them; "
            "did you mean 'No'?; names are matched as they are written: rename them in the data or",
        ),
        ([0, 1, 2], None, ("no", "yes"), " row 3: the label 2 is out of range; there are 2 labels"),
        (
            [-1, 1, 0],
            ["-1", "1"],
            None,
            " row 3: the label '0' is unknown; labels are '-1', '1'; t",
        ),
        # One name that looks like an integer is enough; nothing but itself is meant by it.
        (
            [0, 1],
            ["+1", "none"],
            None,
            " row 1: the label '0' is unknown; labels are '+1', 'none'; these are names, not "
            "positions (and 1 more row)",
        ),
        (["1", "01"], ["1", "2"], None, " row 2: the label '01' is unknown; labels are '1', '2'"),
        (["no", "yes", 1], NAMED, None, " row 3: the label '1' is unknown; labels are 'no', 'yes'"),
        (["1", "01", "x"], None, None, ": the labels '01' and '1' are one integer, written in two"),
        (["Yes", "yes", "no"], None, None, ": the labels 'Yes' and 'yes' read as one; write them"),
        (["caf\u00e9", "cafe\u0301"], None, None, ": the labels 'cafe\\u0301' and 'café' read as"),
        ([f"{n} of many" for n in range(60)], None, None, ": 60 different labels in 60 examples;"),
        (["a", None], None, None, " row 2: the label is missing in column 'label'"),
        (["a", 1.5], None, None, " row 2: the label is 1.5; a name or an integer is expected"),
    ],
)
def test_wrong_labels(labels, given, names, expected):
    assert issue(labels, given, names).startswith(f"t.csv{expected}")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([-1, -1], True), ([None, ""], True), (["-1"], True), ([-1, 0], False), (["a"], False)],
)
def test_is_unlabelled(labels, expected):
    assert is_unlabelled(table(labels), "label") is expected


def test_a_label_that_is_called_minus_one_is_a_label():
    assert is_unlabelled(table(["-1", "-1"]), "label", known=["-1", "1"]) is False
    assert is_unlabelled(table([None, ""]), "label", known=["-1", "1"]) is True
