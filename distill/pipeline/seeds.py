"""Doing a recipe once for each of several seeds: a whole run folder each, and one table of all."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.console import clock
from distill.errors import DiskFullError, SeedError, UserError
from distill.evaluation.seeds import gather, write_seed_results
from distill.pipeline.record import logged
from distill.pipeline.runner import go_on, prepare
from distill.recipe.run_models import seed_folder, seeds_of_run
from distill.recipe.schema import Recipe
from distill.run_folder import RunFolder

logger = logging.getLogger("distill")


def run_seeds(recipe: Recipe, folder: RunFolder, *, reuse: Iterable[Path] = ()) -> dict[str, Any]:
    """Do a recipe for each of its seeds, in a new run folder.

    Args:
        recipe: one with ``seeds``.
        folder: a new or empty one; seed 1 works in ``seed-1`` inside it, and so on.
        reuse: run folders whose finished stages may be taken over; of one with several seeds,
            every seed's.

    Returns:
        The content of ``results.json``.

    Raises:
        UserError: what the recipe names cannot be used; nothing is written then.
        SeedError: a seed failed later.
    """
    seeds = _seeds(recipe)
    workspace = prepare(recipe.with_seed(seeds[0]))
    folder.create(recipe)
    return _work(recipe, folder, reuse, workspace)


def resume_seeds(recipe: Recipe, folder: RunFolder, *, changed: bool) -> dict[str, Any]:
    """Go on with the seeds that are left, and into one that is half done.

    Args:
        recipe: one with ``seeds``.
        folder: the run folder of all.
        changed: whether it was another recipe before; what there is of a table is then removed.

    Returns:
        The content of ``results.json``.

    Raises:
        SeedError: a seed failed.
    """
    workspace = prepare(recipe.with_seed(_seeds(recipe)[0]))
    if changed:
        with folder.held():
            folder.results.unlink(missing_ok=True)
            folder.report.unlink(missing_ok=True)
            folder.write_recipe(recipe)
    return _work(recipe, folder, (), workspace)


def evaluate_seeds(run: Path) -> None:
    """Score and time every seed's models again, and write the table of all anew.

    Raises:
        SeedError: a seed's run is not finished.
    """
    from distill.stages.evaluate import evaluate_run

    folder = RunFolder(run)
    recipe = folder.read_recipe()
    seeds = _seeds(recipe)
    with folder.held():
        for seed in seeds:
            with _told(folder, seed):
                evaluate_run(folder.seed(seed).path)
        _write(folder, recipe, seeds)


def _work(
    recipe: Recipe, folder: RunFolder, reuse: Iterable[Path], workspace: Any
) -> dict[str, Any]:
    seeds = _seeds(recipe)
    others = [
        one
        for path in reuse
        for one in [seed_folder(path, seed) for seed in seeds_of_run(path)] or [path]
    ]
    others += [folder.seed(seed).path for seed in seeds]
    start = time.monotonic()
    with folder.held(), logged(folder.log):
        for done, seed in enumerate(seeds):
            spent = time.monotonic() - start
            left = f"; about {clock(spent / done * (len(seeds) - done))} left" if done else ""
            logger.info("seed %d (%d of %d)%s", seed, done + 1, len(seeds), left)
            with _told(folder, seed):
                _begin(recipe.with_seed(seed), folder.seed(seed))
                go_on(
                    recipe.with_seed(seed),
                    folder.seed(seed).path,
                    reuse=others,
                    workspace=workspace,
                )
            workspace = None
            gc.collect()
            _write(folder, recipe, seeds[: done + 1])
    return folder.read_results()


def _begin(recipe: Recipe, folder: RunFolder) -> None:
    """The seed's folder with its recipe; one that was killed before it had that is no stranger."""
    if not folder.exists():
        folder.path.mkdir(exist_ok=True)
        folder.write_recipe(recipe)


def _write(folder: RunFolder, recipe: Recipe, done: Sequence[int]) -> None:
    """Write table and page, unless those that are there already tell of more seeds."""
    from distill.report.seeds_page import write_page

    if len(done) < len(_told_before(folder)):
        return
    results = gather(folder.path, recipe, done)
    write_seed_results(folder.path, results)
    write_page(folder.path, results)


def _told_before(folder: RunFolder) -> list[int]:
    try:
        return list(json.loads(folder.results.read_text("utf-8"))["seeds"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


@contextmanager
def _told(folder: RunFolder, seed: int) -> Iterator[None]:
    """Say which seed an error is of, and how to go on with all."""
    again = f"distill resume {folder.path}"
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.resume_command = again  # type: ignore[attr-defined]
        raise
    except DiskFullError as error:
        raise DiskFullError(
            f"{folder.path}: the disk is full in seed {seed}; what was finished is kept: free some "
            f"space, then: {again}"
        ) from error
    except UserError as error:
        raise SeedError(
            f"{folder.path}: seed {seed} failed: {error}; what was finished is kept; once that is "
            f"mended: {again}"
        ) from error
    except Exception as error:
        error.add_note(f"{folder.path}: this was seed {seed}; to go on: {again}")
        raise


def _seeds(recipe: Recipe) -> list[int]:
    if recipe.seeds is None:
        raise ValueError("a recipe without seeds")
    return recipe.seeds
