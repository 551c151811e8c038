"""What a study file may say: one recipe in variants, on tasks, with seeds, or searched."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from distill.recipe.schema.recipe import Seeds
from distill.recipe.schema.stages import Limits
from distill.section import Name, PositiveInt, Section


class StudyChange(Section):
    """A change of the recipe: first what is merged, then what is set."""

    merge: dict[str, Any] = {}
    """Part of a recipe that is laid over it: mappings merge, lists replace."""
    set: dict[str, Any] = {}
    """Dotted settings, as on the command line: ``stages.intermediate.layer_map: last``. An item
    of a list set to ``null`` is removed; ``stages.+NAME`` adds one before NAME."""
    title: StrictStr | None = None
    """What it is called in the table; left out, its name."""


class StudyTask(StudyChange):
    """A task that every variant is tried on: its data, labels, metric and lengths."""

    seeds: Annotated[Seeds, Field(min_length=1)] | None = None
    """Every variant is trained once for each; left out, the study's seeds."""


class StudyVariant(StudyChange):
    """One way to change the recipe."""

    tasks: Annotated[list[Name], Field(min_length=1)] | None = None
    """Only these tasks; left out, all of them."""
    stage: Name | None = None
    """The stage whose score counts and after which a trial stops; left out, the last one that
    trains the student. ``teacher`` and ``baseline`` are stages too; the name of the evaluate
    stage compares final models, with sizes and times."""


_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
_Triple = Annotated[list[float], Field(min_length=3, max_length=3)]
_Budget = Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]
_RANGES = ("choice", "uniform", "loguniform", "quniform")
#: Of Hyperband: the best of so many are trained so many times longer.
ETA = 3
_PLATFORMS = ("local", "remote", "openpai", "aml", "dlc", "kubeflow", "frameworkcontroller", "adl")


class Range(Section):
    """The values of one setting: exactly one of ``choice`` and the three intervals.

    A list in its place is a ``choice``.
    """

    choice: Annotated[list[Any], Field(min_length=1)] | None = None
    """Any values; ``null`` removes an item of a list, such as a stage."""
    uniform: _Pair | None = None
    """``[low, high]``."""
    loguniform: _Pair | None = None
    """``[low, high]``, evenly distributed in the logarithm: learning rates."""
    quniform: _Triple | None = None
    """``[low, high, step]``: multiples of ``step``; whole numbers where all three are whole."""
    when: dict[StrictStr, Any] = {}
    """Only for trials in which these other settings of the space have these values."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in _RANGES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_RANGES)}")
        if self.choice is None:
            low, high, *step = getattr(self, given[0])
            least = 0 if self.loguniform else -math.inf
            if not (least < low < high < math.inf) or (step and not 0 < step[0] <= high - low):
                raise ValueError(f"{given[0]}: low must be less than high, and a step fit between")
        return self

    @property
    def kind(self) -> str:
        """The key that is given."""
        return next(name for name in _RANGES if getattr(self, name) is not None)

    def typed(self, drawn: float) -> int | float:
        """A drawn number as it is written into a recipe; of a choice, its place in the list."""
        step = self.quniform
        if self.choice is not None or (step and all(float(one).is_integer() for one in step)):
            return round(drawn)
        return float(f"{float(drawn):.6g}")


def _as_range(value: Any) -> Any:
    """A list in the place of a range is a choice."""
    return {"choice": value} if isinstance(value, list) else value


class Candidate(Section):
    """One model that a search by halving may train."""

    set: dict[str, Any]
    """Dotted settings, as a variant's."""
    shape: StrictStr = ""
    """Candidates of equal ``shape`` differ in how much is cut; after one that was measured beyond
    a limit the next smaller is tried."""
    predicted: Limits = Limits()
    """What an untrained model of these sizes took and weighed on this machine."""
    reserve: StrictBool = False
    """Only tried in the place of a larger one that was measured beyond a limit."""
    targets: list[Annotated[float, Field(gt=0)]] = []
    """For these latencies of ``ladder``; left out, for all."""


class Search(Section):
    """Settings that are searched instead of listed; each trial is a variant of its own."""

    space: dict[
        StrictStr,
        Annotated[Range, BeforeValidator(_as_range, json_schema_input_type=Range | list[Any])],
    ] = {}
    """Dotted settings, as in a variant's ``set``, each with its values."""
    strategy: Literal["tpe", "evolution", "anneal", "hyperband", "random", "grid", "halving"] = (
        "tpe"
    )
    """NNI's tuner of this name: tree-structured Parzen estimator, evolution of a population,
    simulated annealing (needs the package hyperopt), brackets of short trainings of which the best
    third is trained longer, values at random, or every combination. ``halving``, which
    ``distill fit-budget`` writes: short trainings of all ``candidates``, longer ones of the best
    third, and the best in full."""
    budget: dict[StrictStr, _Budget] = {}
    """For ``hyperband``: the setting that makes a training longer, and its least and most:
    ``{stages.prediction.epochs: [1, 9]}``."""
    trials: PositiveInt = 20
    """How many settings are tried, at most; a grid or a small space may have fewer."""
    seed: StrictInt = 0
    """Seed of the tuner's draws; those of a training have the recipe's ``seed``."""
    stage: Name | None = None
    """As a variant's: the stage whose score is maximised."""
    limits: Limits | None = None
    """A trial beyond them counts for less than every trial within, the less the further beyond."""
    early_stop: Literal["median", "curve"] | None = None
    """NNI's assessor. ``median`` ends a trial whose best validation score so far is below the
    median of the earlier trials' means at the same evaluation; ``curve`` one whose curve, after six
    evaluations, is on its way to less than 95 % of the best last score. Left out, none is ended."""

    candidates: dict[Name, Candidate] = {}
    """For ``halving``: the models that are tried."""
    rungs: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = [
        0.1111,
        0.3333,
        1.0,
    ]
    """For ``halving``: shares of the student's optimiser steps, rising to 1."""
    ladder: list[Annotated[float, Field(gt=0)]] = []
    """For ``halving``: latencies in milliseconds, rising, each of which gets its own model; the
    last one is that of ``limits``."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """For ``halving``: time for all trials; what cannot end within it is not begun."""

    @field_validator("strategy", mode="before")
    @classmethod
    def _no_bohb(cls, value: Any) -> Any:
        if value == "bohb":
            raise ValueError(
                "NNI's BOHB needs ConfigSpace 0.7, which does not work with numpy 2; "
                "'hyperband' has the same brackets"
            )
        return value

    @model_validator(mode="after")
    def _fits_strategy(self) -> Self:
        halving = self.strategy == "halving"
        if halving and (self.space or not self.candidates):
            raise ValueError("'halving' has `candidates` and no `space`")
        if not halving and (self.candidates or not self.space):
            raise ValueError(f"'{self.strategy}' has a `space` and no `candidates`")
        if halving and self.early_stop:
            raise ValueError("'halving' ends trainings itself; leave out early_stop")
        if halving and all(one.reserve for one in self.candidates.values()):
            raise ValueError("candidates: one at least that is no `reserve`")
        if self.rungs[-1] != 1 or self.rungs != sorted(set(self.rungs)):
            raise ValueError("rungs: shares of the steps must rise, and end with 1.0")
        if self.ladder != sorted(set(self.ladder)):
            raise ValueError("ladder: latencies must rise")
        last = self.limits.latency_ms if self.limits is not None else None
        if self.ladder and self.ladder[-1] != last:
            raise ValueError("ladder: its last latency must be that of limits.latency_ms")
        for name, one in self.candidates.items():
            if not set(one.targets) <= set(self.ladder):
                raise ValueError(f"candidates.{name}: targets must be latencies of `ladder`")
        return self

    def targets(self) -> list[Limits]:
        """The limits that get a model of their own each, the tightest first."""
        limits = self.limits or Limits()
        rungs: list[float | None] = [*self.ladder] or [limits.latency_ms]
        return [limits.model_copy(update={"latency_ms": latency}) for latency in rungs]

    @model_validator(mode="after")
    def _budget_fits(self) -> Self:
        hyperband = self.strategy == "hyperband"
        if hyperband != (len(self.budget) == 1):
            raise ValueError(
                "strategy 'hyperband' and a budget of one setting go together: "
                "budget: {stages.NAME.epochs: [1, 9]}"
            )
        if hyperband and self.early_stop:
            raise ValueError("'hyperband' ends trainings itself; leave out early_stop")
        for key, (least, most) in self.budget.items():
            if key in self.space:
                raise ValueError(f"'{key}' is the budget and in the space; leave one out")
            if most < ETA * least:
                raise ValueError(f"budget: the most must be {ETA} times the least or more")
        return self


class NniEngine(Section):
    """Trials as an NNI experiment."""

    kind: Literal["nni"]
    port: Annotated[StrictInt, Field(ge=1024, le=65535)] | None = None
    """Of the manager and its portal; left out, a free one."""
    host: StrictStr = "127.0.0.1"
    """For training services of other machines: an address of this one that they reach. The manager
    then listens on the network, and it asks nobody for a password."""
    python: StrictStr | None = None
    """The Python of the machines; left out, this one."""
    training_service: dict[StrictStr, Any] = {"platform": "local"}
    """NNI's section of this name. Other machines need this package, and the study's folder under
    the same path."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        platform = self.training_service.get("platform")
        if platform not in _PLATFORMS:
            raise ValueError(
                f"training_service.platform: {platform!r} is not known; "
                f"there are: {', '.join(_PLATFORMS)}"
            )
        if platform != "local" and self.host in ("127.0.0.1", "localhost"):
            raise ValueError(
                f"the machines of the training service '{platform}' report to NNI's manager, which "
                "listens on the loopback: give host, an address of this machine that they reach"
            )
        return self


_Engine = Literal["local", "nni"] | NniEngine


def _as_engine(value: Any) -> Any:
    """``nni`` alone has NNI's local training service."""
    return {"kind": "nni"} if value == "nni" else value


class Study(Section):
    """Many variants of one recipe, on tasks and seeds, in one table."""

    study: Literal[1]
    """The schema's version."""
    name: Name
    """The study's name: what its folder and its table are called."""
    description: StrictStr = ""
    """One line for ``distill ls``."""
    recipe: StrictStr
    """What is varied: a recipe's name, or a path relative to this file."""
    seeds: Annotated[Seeds, Field(min_length=1)] | None = None
    """Every variant is trained once for each; left out, the recipe's ``seeds`` or ``seed``."""
    folders: dict[Name, StrictStr] = {}
    """Folders that the command line fills in (``folders.NAME=DIR``), each with what has to be in
    it; ``${NAME}`` in a setting stands for the path."""
    tasks: dict[Name, StudyTask] = {}
    """The table's columns; left out, the recipe's own task."""
    engine: Annotated[
        Literal["local"] | NniEngine, BeforeValidator(_as_engine, json_schema_input_type=_Engine)
    ] = "local"
    """Where trials run: in processes of this machine, or ``nni``: as an NNI experiment."""
    variants: dict[Name, StudyVariant] = {}
    """The table's rows; left out, the recipe as it is."""
    search: Search | None = None
    """Variants that a tuner makes, after those of the file."""
    compare_to: Name | None = None
    """The variant that differences refer to; left out, the first."""

    @property
    def reference(self) -> str:
        """The variant that differences refer to."""
        return self.compare_to or next(iter(self.variants), "")
