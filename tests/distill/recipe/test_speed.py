"""Estimates of time: what was measured, where it was measured."""

from __future__ import annotations

import pytest

from distill.processor import Processor
from distill.recipe import speed
from distill.recipe.augmented import work_by_stage
from distill.recipe.checks import student_size
from distill.recipe.estimate import Shape, shapes_by_stage
from distill.recipe.known import teacher_shape
from distill.recipe.loader import load_recipe
from distill.recipe.plan import plan_stages
from distill.recipe.rows import Rows
from distill.recipe.schema import Recipe, TrainerConfig
from distill.recipe.speed import macs_per_second

#: Seconds on 2 cores with AVX512-BF16.
MEASURED = {"teacher": 345, "baseline": 300, "intermediate": 360, "prediction": 187, "prune": 89}


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch):
    def put(*isa: str) -> None:
        monkeypatch.setattr(speed, "processor", lambda: Processor("some", isa, known=True))

    return put


def _seconds(recipe: Recipe, rows: Rows, threads: int) -> dict[str, float]:
    stages = plan_stages(recipe)
    found = teacher_shape(recipe.teacher.model)
    assert found is not None
    teacher = Shape.of_teacher(found, 2)
    students = shapes_by_stage(recipe, stages, teacher, student_size(recipe))
    work = work_by_stage(recipe, stages, rows, teacher=teacher, students=students)
    rate = macs_per_second(recipe.trainer, threads=threads)
    return {stage.name: macs / rate for stage, macs in zip(stages, work, strict=True)}


def test_the_recipe_that_was_measured(has) -> None:
    has("avx2", "avx512_bf16")
    recipe = load_recipe("sst2", "teacher.model=minilm-l6", "student.size=3x384")
    told = _seconds(recipe, Rows(67_349, 17.0), threads=2)
    for name, seconds in MEASURED.items():
        assert told[name] == pytest.approx(seconds, rel=0.15), name
    assert sum(told.values()) == pytest.approx(sum(MEASURED.values()), rel=0.05)


def test_cells_that_were_measured(has) -> None:
    has("amx_bf16")
    words = ["teacher.finetune.epochs=4", "teacher.model=minilm-l6", "student.size=3x312/12/1200"]
    words += ["stages.intermediate.epochs=2", "stages.prediction.epochs=2"]
    told = _seconds(load_recipe("sst2", *words), Rows(3000, 17.0), threads=1)
    assert told["teacher"] == pytest.approx(100, rel=0.1)
    assert told["intermediate"] + told["prediction"] == pytest.approx(57, rel=0.1)


def test_without_bf16_in_hardware_it_takes_longer(has) -> None:
    has("avx512_bf16")
    one, two = (macs_per_second(TrainerConfig(), threads=count) for count in (1, 2))
    assert 1.6 < two / one < 1.8
    assert macs_per_second(TrainerConfig(threads=1)) == one
    assert one / macs_per_second(TrainerConfig(precision="fp32"), threads=1) == pytest.approx(2.6)
    has("avx2", "fma")
    assert one / macs_per_second(TrainerConfig(), threads=1) == pytest.approx(2.6)
    assert one / macs_per_second(TrainerConfig(precision="bf16"), threads=1) == pytest.approx(2.6)
