"""``distill fit-budget``: limits go in, the best model that keeps them comes out."""

from __future__ import annotations

import math
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from distill.recipe.schema import Limits

#: The measured table, inside the folder.
_TABLE = "shapes.json"


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
    ladder: Annotated[
        str | None, typer.Option(help="A model for each of these latencies: 0.25,0.5,1,2.")
    ] = None,
    length: Annotated[
        str | None, typer.Option(help="Tokens that latency is measured at; `real`: the rows' own.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of a timed model.")] = None,
    time: Annotated[
        str | None, typer.Option(help="Time for all trainings: 90s, 60m, 2h; else without end.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Students to try, for each latency.")] = 9,
    compare: Annotated[
        str | None, typer.Option(help="Also train these sizes in full: recipe,3x384,tinybert4.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="The study's folder; else runs/budget-NAME.")
    ] = None,
) -> None:
    """Search depth, width and neurons of a student for the best model within limits.

    Untrained students are timed first, so that what is too slow or too large is never trained.
    Those that keep the limits are trained for a ninth of the steps, the best third of them for a
    third, the best in full; all share one teacher. What is measured too slow in the end is cut
    again. The same command continues after a stop.

    Example:
      distill fit-budget quickstart --latency-ms 0.8 --size-mb 12 --threads 1
      distill fit-budget sst2 --ladder 0.5,1,2 --time 60m teacher.model=minilm-l6
    """
    from distill.cli.study import interruptible, print_results
    from distill.recipe.budget import Choices, budget_study, describe
    from distill.recipe.study import load_study
    from distill.system.errors import UserError

    steps = _ladder(ladder, latency_ms)
    limits = _limits(steps[-1] if steps else latency_ms, size_mb, throughput, retention)
    settings = list(overrides or [])
    choices = Choices(recipe, settings)
    last = choices.recipe.stages[-1].name
    settings += [f"stages.{last}.lengths=[{length}]"] if length is not None else []
    settings += [f"stages.{last}.threads={threads}"] if threads is not None else []
    choices = Choices(recipe, settings)
    folder = run_dir if run_dir is not None else Path("runs") / f"budget-{choices.recipe.name}"
    options: dict[str, Any] = {
        "ladder": steps,
        "minutes": _minutes(time),
        "variants": _listed(compare),
    }
    _check(folder, budget_study(choices, limits, {}, **options))
    # Heavy: torch comes with what exports and times.
    from distill.evaluation.limits import nearest
    from distill.pipeline.shape_table import measure_shapes
    from distill.pipeline.study import run_study

    with interruptible(folder):
        table = measure_shapes(choices.recipe, choices.shapes(), folder / _TABLE)
        every = [limits.model_copy(update={"latency_ms": one}) for one in steps] or [limits]
        candidates = choices.candidates(every, table, most=trials)
        file = _write(folder, budget_study(choices, limits, candidates, **options))
        loaded = load_study(file, *settings, check_files=True)
        command = shlex.join(["distill", "study", str(file), *settings, "--run-dir", str(folder)])
        results = run_study(loaded, folder, command=command)
    print_results(folder, results, as_json=False)
    missed = [target.limits for target in results.targets if target.chosen is None]
    if missed:
        raise UserError(
            f"no trial keeps {' and '.join(describe(missed[0]))}; "
            f"{nearest(missed[0], folder, results)}"
        )


def _ladder(text: str | None, latency_ms: float | None) -> list[float]:
    """The latencies of --ladder, rising."""
    from distill.system.errors import UserError

    if text is None:
        return []
    try:
        steps = sorted({float(one) for one in text.split(",")})
    except ValueError:
        raise UserError(f"--ladder {text}: write milliseconds such as 0.5,1,2") from None
    if not all(0 < one < math.inf for one in steps):
        raise UserError("--ladder: every latency must be more than 0")
    if latency_ms is not None:
        raise UserError("give --ladder or --latency-ms, not both")
    return steps


def _minutes(text: str | None) -> float | None:
    """Minutes of ``90s``, ``60m``, ``2h``; a number alone is minutes."""
    from distill.system.errors import UserError

    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise UserError(f"--time {text}: write 90s, 60m or 2h")
    return float(found[1]) * {"s": 1 / 60, "m": 1.0, "": 1.0, "h": 60.0}[found[2]]


def _listed(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


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


def _check(folder: Path, content: dict[str, Any]) -> None:
    """Refuse a folder that holds another budget, or something else.

    Trials, time and sizes for comparison may change: what was trained is kept.
    """
    import yaml

    from distill.system.errors import RunFolderError

    file = folder / "study.yaml"
    if file.is_file():
        before = yaml.safe_load(file.read_text("utf-8"))
        asked = [(one.get("recipe"), *_asked(one.get("search", {}))) for one in (before, content)]
        if asked[0] != asked[1]:
            raise RunFolderError(f"{folder}: holds another budget; choose another --run-dir")
    elif folder.exists() and any(one.name != _TABLE for one in folder.iterdir()):
        raise RunFolderError(f"{folder}: is not empty and no budget's; choose another --run-dir")


def _asked(search: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(search.get(key) for key in ("strategy", "limits", "ladder"))


def _write(folder: Path, content: dict[str, Any]) -> Path:
    """Write the study's file into its folder."""
    import yaml

    from distill.system import atomic

    file = folder / "study.yaml"
    atomic.write_text(file, yaml.safe_dump(content, sort_keys=False))
    return file
