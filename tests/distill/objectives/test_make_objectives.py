"""Objectives from recipes and from bare names."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest

from distill.capture.signals import Signals
from distill.objectives import KINDS, make_objectives
from distill.recipe import schema
from distill.recipe.schema.distill import REFERENCE
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
        assert objective.config.weight == 1.0


def test_reference_mode_makes_what_the_published_code_has() -> None:
    made = make_objectives([*REFERENCE], mode="reference")
    assert [objective.mode for objective in made] == ["reference"] * 4
    for config, message in (
        ("relations", "'relations': kind: the reference matches embedding"),
        (AttentionObjective(kind="attention", on="probabilities"), "compares scores"),
        (LogitsObjective(kind="logits", hard_weight=0.1), "no true labels in it"),
    ):
        with pytest.raises(ModelError, match=message):
            make_objectives([config], mode="reference")


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
