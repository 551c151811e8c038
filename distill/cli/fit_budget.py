"""``distill fit-budget``: limits go in, the best model that keeps them comes out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from distill.recipe.schema import Limits


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
    from distill.cli.study import interruptible, print_results
    from distill.recipe.budget import budget_study, describe
    from distill.recipe.study import load_study
    from distill.system.errors import UserError

    limits = _limits(latency_ms, size_mb, throughput, retention)
    settings = list(overrides or [])
    content = budget_study(recipe, settings, limits, trials=trials)
    folder = run_dir if run_dir is not None else Path("runs") / str(content["name"])
    file = _write(folder, content)
    loaded = load_study(file, *settings, check_files=True)
    # Heavy: torch comes with what looks for a GPU.
    from distill.evaluation.limits import nearest
    from distill.pipeline.study import run_study

    with interruptible(folder):
        command = shlex.join(["distill", "study", str(file), *settings, "--run-dir", str(folder)])
        results = run_study(loaded, folder, command=command)
    print_results(folder, results, as_json=False)
    if results.chosen is None:
        raise UserError(
            f"no trial keeps {' and '.join(describe(limits))}; {nearest(limits, folder, results)}"
        )


def _limits(
    latency_ms: float | None,
    size_mb: float | None,
    throughput: float | None,
    retention: float | None,
) -> Limits:
    """The limits of the options, one of which at least is given."""
    from pydantic import ValidationError

    from distill.recipe.schema import Limits
    from distill.system.errors import UserError

    try:
        limits = Limits(
            latency_ms=latency_ms, size_mb=size_mb, throughput=throughput, retention=retention
        )
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0]).replace("_", "-")
        raise UserError(f"--{name} must be more than 0") from None
    if limits == Limits():
        raise UserError("give a limit: --latency-ms, --size-mb, --throughput or --retention")
    return limits


def _write(folder: Path, content: dict[str, Any]) -> Path:
    """Write the study's file into its folder, new or of the same search with other trials."""
    import yaml

    from distill.system import atomic
    from distill.system.errors import RunFolderError

    file = folder / "study.yaml"
    if file.is_file():
        before = yaml.safe_load(file.read_text("utf-8"))
        searched = {**before.get("search", {}), "trials": content["search"]["trials"]}
        if {**before, "search": searched} != content:
            raise RunFolderError(f"{folder}: holds another budget; choose another --run-dir")
    elif folder.exists() and any(folder.iterdir()):
        raise RunFolderError(f"{folder}: is not empty and no budget's; choose another --run-dir")
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_text(file, yaml.safe_dump(content, sort_keys=False))
    return file
