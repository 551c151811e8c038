from __future__ import annotations

import pytest

from distill.recipe.augmented import augment_macs, rows_by_stage
from distill.recipe.estimate import Shape
from distill.recipe.known import teacher_shape
from distill.recipe.loader import load_recipe
from distill.recipe.plan import plan_stages
from distill.recipe.rows import Rows
from distill.recipe.schema import AugmentStage

BEFORE = "stages:\n"


@pytest.fixture
def recipe(write):
    path = write((BEFORE, BEFORE + "  - {kind: augment, copies: 10}\n"))
    return load_recipe(path, "stages.prediction.augmented=false")


def test_only_students_that_want_them_have_more_rows(recipe):
    stages = plan_stages(recipe)
    counts = [rows.count for rows in rows_by_stage(stages, Rows(100, 20.0))]
    names = [stage.name for stage in stages]
    assert dict(zip(names, counts, strict=True)) == {
        "teacher": 100,
        "baseline": 100,
        "augment": 100,
        "intermediate": 100 + 780,
        "prediction": 100,
        "export": 100,
        "evaluate": 100,
    }


def test_asking_a_model_takes_time_and_word_vectors_none(recipe):
    shape = teacher_shape("minilm-l6")
    teacher = Shape.of_teacher(shape, 2)
    rows = Rows(100, 20.0)

    def macs(**settings):
        return augment_macs(recipe, AugmentStage(kind="augment", **settings), rows, teacher)

    assert macs(words="neighbours") == 0
    assert macs(words="mlm", segment="none") == pytest.approx(100 * 0.4 * 20 * teacher.macs(20))
    assert macs(words="mlm") > 2 * macs(words="mlm", segment="none")


def test_a_text_pair_that_is_not_there(write, faults):
    path = write((BEFORE, BEFORE + "  - {kind: augment, pair_columns: text_pair}\n"))
    assert faults(path) == [
        "small.yaml:12: stages[0].pair_columns: the data have no second text; name its column in "
        "data.columns.text_pair"
    ]


def test_rows_that_nobody_learns_from(write, faults):
    path = write((BEFORE, BEFORE + "  - {kind: augment}\n"))
    told = faults(path, "stages.prediction.augmented=false", "stages.intermediate.augmented=false")
    assert len(told) == 1
    assert "no 'distill' stage after it learns from its rows" in told[0]
