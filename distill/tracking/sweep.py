"""A study's search as a W&B sweep: the same space, tried by agents that run ``distill``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from distill.recipe.schema import Search, WandbConfig
from distill.recipe.schema.study import Range
from distill.system.errors import UserError

_METHODS = {"random": "random", "grid": "grid", "hyperband": "random"}


def sweep(
    name: str, search: Search, track: WandbConfig | None, command: Sequence[str]
) -> dict[str, Any]:
    """The content of a sweep's file.

    TPE, evolution and annealing become W&B's Bayesian search; a hyperband's trainings have their
    full length. What is maximised is ``value``: the validation score, within the search's limits.

    Raises:
        UserError: a grid over an interval, or successive halving, which W&B has not.
    """
    if search.strategy == "halving":
        raise UserError("W&B has no successive halving: run it with distill study or fit-budget")
    method = _METHODS.get(search.strategy, "bayes")
    found: dict[str, Any] = {"program": "distill", "name": name, "method": method}
    track = track or WandbConfig()
    found |= {"project": track.project} | ({"entity": track.entity} if track.entity else {})
    return found | {
        "metric": {"name": "value", "goal": "maximize"},
        "run_cap": search.trials,
        "parameters": {key: _parameter(key, one, method) for key, one in search.space.items()},
        "command": [*command, "--sweep-trial", "${args_json}"],
    }


def values_of(search: Search, text: str) -> dict[str, Any]:
    """What an agent gives, a JSON object: a value for each setting, of a choice its place.

    Raises:
        UserError: it is something else, or not of this space.
    """
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UserError(f"--sweep-trial: {text!r} is no JSON object of settings")
    if given.keys() != search.space.keys():
        raise UserError(f"--sweep-trial: the settings must be {', '.join(search.space)}")
    return {key: _value(key, one, given[key]) for key, one in search.space.items()}


def _value(key: str, space: Range, given: Any) -> int | float:
    if space.choice is not None:
        texts = [_text(choice) for choice in space.choice]
        if given not in texts:
            there = ", ".join(map(str, texts))
            raise UserError(f"--sweep-trial: {key}: {given!r} is none of the choices: {there}")
        return texts.index(given)
    low, high = getattr(space, space.kind)[:2]
    if not isinstance(given, int | float) or not low <= given <= high:
        raise UserError(f"--sweep-trial: {key}: {given!r} is not between {low:g} and {high:g}")
    return space.typed(given)


def _parameter(key: str, space: Range, method: str) -> Mapping[str, Any]:
    if space.choice is not None:
        return {"values": [_text(choice) for choice in space.choice]}
    low, high, *step = getattr(space, space.kind)
    if step and method == "grid":
        first, last = -(-low // step[0]), high // step[0]
        return {"values": [space.typed(n * step[0]) for n in range(round(first), round(last) + 1)]}
    if method == "grid":
        raise UserError(f"{key}: W&B's grid has no intervals: give choices, or another strategy")
    kinds = {"loguniform": "log_uniform_values", "quniform": "q_uniform"}
    found = {"distribution": kinds.get(space.kind, space.kind), "min": low, "max": high}
    return found | ({"q": step[0]} if step else {})


def _text(choice: Any) -> str | int | float:
    """A choice as W&B passes it on: numbers and plain words as they are, the rest as YAML."""
    if isinstance(choice, str) or (isinstance(choice, int | float) and type(choice) is not bool):
        return choice
    return (
        yaml.safe_dump(choice, default_flow_style=True, width=10**6).partition("\n...")[0].strip()
    )
