"""``results.json`` of a run of several seeds: every model's numbers with their spread.

The format is told in ``docs/results.md``. Importing this module loads neither torch nor numpy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distill import atomic
from distill.errors import RunFolderError
from distill.evaluation.cells import latency_cell, split_cell
from distill.evaluation.results import BASELINE, ModelRow, Results, is_teacher, read_results
from distill.evaluation.spread import Spread, spread
from distill.recipe.run_models import seed_folder, seeds_of_run
from distill.recipe.schema import DataConfig, Recipe

#: On an idle machine the 95th percentile is 5 to 30 % above the median.
DISTURBED = 2.0


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SeedRow(_Part):
    """One model in one format, over the seeds that made it."""

    name: str
    """As in the seeds' own results."""
    format: str
    """As there."""
    score: Spread
    """The task's metric on ``split``."""
    retention: Spread | None
    """Each seed's score by that of the same seed's teacher."""
    gain: Spread | None
    """Each seed's score minus that of the same seed's baseline; ``None`` of teacher and baseline,
    and without a baseline."""
    more_scores: dict[str, Spread] = {}
    """The task's metric on each set of further rows (``data.more``), by its name."""
    bytes: Spread
    """Size of the weight file."""
    latency_ms: Spread | None
    """Median latency at ``cell``."""
    smaller: Spread
    """The teacher's bytes by the model's."""
    faster: Spread | None
    """The teacher's median latency by the model's."""
    superseded: bool = False
    """Whether the next model is this one trained further: its score may be that of a head that
    nothing has trained yet."""


class Chosen(_Part):
    """The seed whose final model is best on the validation rows: that of ``distill predict``."""

    seed: int
    """The seed."""
    folder: str
    """Its run folder, inside this one."""
    validation: float | None
    """Its final model's score on the validation rows, where it was told."""


class SeedResults(_Part):
    """All models of a run of several seeds."""

    version: Literal[1] = Field(alias="schema", description="The version of this format.")
    kind: Literal["seeds"]
    """What tells it apart from one run's results."""
    recipe: str
    """The recipe's name."""
    task: str
    """The task's kind."""
    metric: str
    """The metric that ``score`` is."""
    split: str
    """The rows that were scored: ``test`` or ``validation``."""
    rows_by_seed: bool = False
    """Whether each seed drew its own rows to be scored on, so that the spread holds that too."""
    asked: list[int]
    """The recipe's seeds."""
    seeds: list[int] = Field(min_length=1)
    """Those that are done."""
    cell: str | None
    """Where ``latency_ms`` was measured: ``b1_l32`` is batch size 1 at 32 tokens."""
    disturbed: list[int] = []
    """Seeds whose timing something else disturbed: a 95th percentile above twice a median."""
    chosen: Chosen
    """The seed that predictions come from."""
    machine: dict[str, Any]
    """Processor and versions of the first seed's evaluation."""
    models: list[SeedRow] = Field(min_length=1)
    """As in the first seed's results; what only other seeds made comes last."""

    @property
    def final(self) -> SeedRow:
        """The last model of the first seed's run that every seed has made; else the last."""
        whole = [row for row in self.models if row.score.n == len(self.seeds)]
        return (whole or self.models)[-1]


def gather(run: Path, recipe: Recipe, seeds: Sequence[int]) -> SeedResults:
    """Put the results of seeds that are done into one table.

    Args:
        run: the run folder of all.
        recipe: its recipe.
        seeds: those that are done.
    """
    found = {seed: read_results(seed_folder(run, seed)) for seed in seeds}
    scores = {seed: _validation(seed_folder(run, seed), r) for seed, r in found.items()}
    # max takes the first of equal ones.
    best = max(seeds, key=lambda seed: (scores[seed] is not None, scores[seed] or 0.0))
    chosen = Chosen(seed=best, folder=seed_folder(run, best).name, validation=scores[best])
    results = summarise(found, recipe.seeds or seeds, chosen)
    own = _draws_rows(recipe.data, results.split)
    return results.model_copy(update={"rows_by_seed": own})


def _draws_rows(data: DataConfig, split: str) -> bool:
    """Whether the rows that are scored depend on the seed."""
    held_out = data.source == "files" and data.validation is None and split == "validation"
    return held_out or data.limit_validation is not None


def summarise(
    found: Mapping[int, Results], asked: Sequence[int], chosen: Chosen | None = None
) -> SeedResults:
    """The table of several seeds' results, or of one's.

    Args:
        found: results by seed.
        asked: the recipe's seeds.
        chosen: the seed that predictions come from; left out, the first.
    """
    first_seed, first = next(iter(found.items()))
    cells = [set(row.latency_ms) for results in found.values() for row in results.models]
    cell = latency_cell(set.intersection(*cells))
    names = dict.fromkeys(row.name for results in found.values() for row in results.models)
    return SeedResults(
        schema=1,
        kind="seeds",
        recipe=first.recipe,
        task=first.task,
        metric=first.metric,
        split=first.split,
        asked=list(asked),
        seeds=list(found),
        cell=cell,
        disturbed=[seed for seed, results in found.items() if _is_disturbed(results)],
        chosen=chosen or Chosen(seed=first_seed, folder="", validation=None),
        machine=first.machine,
        models=[_row(name, found, cell) for name in names],
    )


def _row(name: str, found: Mapping[int, Results], cell: str | None) -> SeedRow:
    rows = {seed: _find(results, name) for seed, results in found.items()}
    there = {seed: row for seed, row in rows.items() if row is not None}
    first, metric = next(iter(there.values())), next(iter(found.values())).metric

    def over(read: Callable[[ModelRow], float | None]) -> Spread | None:
        return spread({seed: read(row) for seed, row in there.items()})

    def always(read: Callable[[ModelRow], float]) -> Spread:
        values = over(read)
        if values is None:
            raise ValueError(f"no seed has a model '{name}'")
        return values

    gains = {seed: _gain(row, found[seed].baseline) for seed, row in there.items()}
    return SeedRow(
        name=name,
        format=first.format,
        score=always(lambda row: row.score),
        retention=over(lambda row: row.retention),
        gain=spread(gains),
        more_scores={
            one: always(lambda row, one=one: row.more_scores[one][metric])  # type: ignore[misc]
            for one in first.more_scores
        },
        bytes=always(lambda row: row.bytes),
        latency_ms=over(lambda row: row.latency_ms[cell].p50) if cell else None,
        smaller=always(lambda row: row.ratios.size),
        faster=over(lambda row: row.ratios.latency),
        superseded=any(found[seed].is_superseded(row) for seed, row in there.items()),
    )


def _is_disturbed(results: Results) -> bool:
    # Real rows are of many lengths: there a long call tells nothing.
    cell = latency_cell({cell for cell in results.teacher.latency_ms if split_cell(cell)[1]})
    times = [row.latency_ms[cell] for row in results.models if cell in row.latency_ms]
    return any(time.p95 > DISTURBED * time.p50 for time in times)


def _find(results: Results, name: str) -> ModelRow | None:
    return next((row for row in results.models if row.name == name), None)


def _gain(row: ModelRow, baseline: ModelRow | None) -> float | None:
    if baseline is None or row.name == BASELINE or is_teacher(row.name):
        return None
    return row.score - baseline.score


def _validation(run: Path, results: Results) -> float | None:
    """The final model's score on the validation rows, as its stage told it."""
    final = results.final
    if results.split == "validation":
        return final.score
    for path in run.glob(f"[0-9]*-{final.stage}/stage.json"):
        facts = json.loads(path.read_text("utf-8"))
        score = facts.get("scores_by_format", {}).get(final.name, facts.get("score"))
        return None if score is None else float(score)
    return None


def write_seed_results(run: Path, results: SeedResults) -> None:
    """Write the run's ``results.json`` whole or not at all."""
    atomic.write_json(run / "results.json", results.model_dump(by_alias=True, mode="json"))


def read_seed_results(run: Path) -> SeedResults:
    """Read the results of a run of several seeds.

    Raises:
        RunFolderError: there are none yet, or they cannot be read.
    """
    path = run / "results.json"
    if not path.is_file():
        raise RunFolderError(f"{run}: no seed is done yet: distill resume {run}")
    try:
        return SeedResults.model_validate(json.loads(path.read_text("utf-8")))
    except (ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise RunFolderError(
            f"{path}: not the results of several seeds in this version ({reason}); "
            f"write them again: distill resume {run}"
        ) from None


def results_over_seeds(run: Path) -> SeedResults:
    """The results of any run, one of a single seed as a table of one.

    Raises:
        RunFolderError: it is not a run folder, has no results yet, or they cannot be read.
    """
    if seeds_of_run(run):
        return read_seed_results(run)
    results = read_results(run)
    return summarise({0: results}, [0])
