"""Objectives from recipes and from bare names."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from distill.capture.signals import Signals
from distill.objectives import KINDS, REFERENCE, make_objectives
from distill.objectives.attention import AttentionMatch
from distill.objectives.logits import LogitsMatch
from distill.recipe import schema
from distill.recipe.schema.objectives import AttentionObjective, LogitsObjective
from distill.system.errors import ModelError

#: The parts of a recipe that are objectives.
PARTS = get_args(get_args(schema.Objective)[0])


def test_every_kind_of_the_recipe_has_an_objective_that_says_what_it_needs() -> None:
    kinds = [get_args(part.model_fields["kind"].annotation)[0] for part in PARTS]
    made = make_objectives(kinds)
    assert [objective.kind for objective in made] == kinds
    assert sorted(kinds) == sorted(KINDS)
    for objective, part in zip(made, PARTS, strict=True):
        assert objective.needs == part.signals
        assert objective.needs <= {field.name for field in dataclasses.fields(Signals)}
        assert objective.mapped == part(kind=objective.kind).mapped
        assert objective.weight == 1.0


def test_reference_mode_makes_what_the_published_code_has() -> None:
    made = make_objectives([*REFERENCE], mode="reference")
    assert [objective.mode for objective in made] == ["reference"] * 4
    with pytest.raises(ModelError, match="'relations' is not in TinyBERT's published code"):
        make_objectives(["relations"], mode="reference")
    with pytest.raises(ModelError, match="the reference compares scores"):
        AttentionMatch(on="probabilities", mode="reference")
    with pytest.raises(ModelError, match="soft cross-entropy alone"):
        LogitsMatch(hard_weight=0.1, mode="reference")


def test_settings_come_from_the_recipe() -> None:
    attention, logits = make_objectives(
        [
            AttentionObjective(kind="attention", weight=0.5),
            LogitsObjective(kind="logits", loss="mse", temperature=2.0, hard_weight=0.1),
        ]
    )
    assert attention.weight == 0.5
    assert isinstance(logits, LogitsMatch)
    assert (logits.loss, logits.temperature, logits.hard_weight) == ("mse", 2.0, 0.1)


def test_objectives_are_kept_as_they_are() -> None:
    own = LogitsMatch(temperature=9.0)
    assert make_objectives([own, "hidden"])[0] is own


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        (["atention"], r"unknown kind 'atention'.*did you mean 'attention'"),
        (["hidden", "hidden"], "'hidden' stands in the list twice"),
        ([], "the list is empty"),
    ],
)
def test_issues_are_told(configs, message) -> None:
    with pytest.raises(ModelError, match=message):
        make_objectives(configs)
