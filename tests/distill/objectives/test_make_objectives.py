"""Objectives from recipes and from bare names."""

from __future__ import annotations

import pytest

from distill.errors import ModelError
from distill.objectives import KINDS, make_objectives
from distill.objectives.logits import LogitsMatch
from distill.recipe import schema


def test_every_kind_of_the_recipe_has_an_objective_that_says_what_it_needs() -> None:
    made = make_objectives(["embedding", "attention", "hidden", "logits"])
    assert [objective.kind for objective in made] == list(KINDS)
    for objective in made:
        assert objective.needs == {objective.kind}
        assert objective.weight == 1.0


def test_settings_come_from_the_recipe() -> None:
    attention, logits = make_objectives(
        [
            schema.AttentionObjective(kind="attention", weight=0.5),
            schema.LogitsObjective(kind="logits", loss="mse", temperature=2.0, hard_weight=0.1),
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
def test_faults_are_told(configs, message) -> None:
    with pytest.raises(ModelError, match=message):
        make_objectives(configs)
