"""``distill fit-budget``: limits go in, the best model that keeps them comes out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def fit_budget(
    recipe: Annotated[
        str, typer.Argument(help="A recipe's name (see `distill ls`), or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings of every trial: data.limit_train=2000.")
    ] = None,
    latency_ms: Annotated[
        float | None, typer.Option(help="Milliseconds of one example, at most (the median).")
    ] = None,
    size_mb: Annotated[float | None, typer.Option(help="Megabytes on disk, at most.")] = None,
    throughput: Annotated[float | None, typer.Option(help="Examples a second, at least.")] = None,
    retention: Annotated[
        float | None, typer.Option(help="Share of the teacher's score, at least: 0.97.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Settings to try.")] = 12,
    run_dir: Annotated[
        Path | None, typer.Option(help="The study's folder; else runs/budget-NAME.")
    ] = None,
) -> None:
    """Search depth, pruning and learning rate for the best model within limits.

    It writes a study (study.yaml in its folder) and runs it: the recipe as it is, then trials that
    NNI's TPE proposes; all share one teacher. The best on the validation examples within the limits
    is the bundle. The same command continues after a stop; more --trials extend the search.

    Example:
      distill fit-budget quickstart --latency-ms 0.8 --size-mb 12
      distill fit-budget sst2 --latency-ms 1 --trials 20 teacher.model=minilm-l6
    """
    import yaml
    from pydantic import ValidationError

    from distill.cli.study import interruptible, print_results
    from distill.recipe.budget import budget_study, describe
    from distill.recipe.schema import Limits
    from distill.recipe.study import load_study
    from distill.system import atomic
    from distill.system.errors import UserError

    given = {
        "latency_ms": latency_ms,
        "size_mb": size_mb,
        "throughput": throughput,
        "retention": retention,
    }
    try:
        limits = Limits(**given)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0]).replace("_", "-")
        raise UserError(f"--{name} must be more than 0") from None
    if not describe(limits):
        raise UserError("give a limit: --latency-ms, --size-mb, --throughput or --retention")
    settings = list(overrides or [])
    content = budget_study(recipe, settings, limits, trials=trials)
    folder = run_dir if run_dir is not None else Path("runs") / str(content["name"])
    file = folder / "study.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_text(file, yaml.safe_dump(content, sort_keys=False))
    loaded = load_study(file, *settings, check_files=True)
    # Heavy: torch comes with what looks for a GPU.
    from distill.evaluation.limits import nearest
    from distill.pipeline.study import run_study

    with interruptible(folder):
        command = shlex.join(["distill", "study", str(file), *settings])
        results = run_study(loaded, folder, command=command)
    print_results(folder, results, as_json=False)
    if results.chosen is None:
        raise UserError(
            f"no trial keeps {' and '.join(describe(limits))}; {nearest(limits, folder, results)}"
        )
