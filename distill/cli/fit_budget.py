"""``distill fit-budget``: limits go in, the best model that keeps them comes out."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from distill.cli import options
from distill.cli.study import interruptible, print_results
from distill.recipe.budget import budget_study, candidates
from distill.recipe.choices import Choices, Engine
from distill.recipe.schema import Limits
from distill.recipe.study import load_study
from distill.system import atomic
from distill.system.errors import RunFolderError, UserError

#: The measured table, inside the folder.
_TABLE = "shapes.json"
_ENGINES: dict[str, Engine] = {"onnxruntime": "onnx", "openvino": "openvino"}

_Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings of every trial: data.limit_train=2000.")
]
_Latency = Annotated[
    float | None, typer.Option(help="Milliseconds of one example, at most (the median).")
]
_Size = Annotated[float | None, typer.Option(help="Megabytes on disk, at most.")]
_Throughput = Annotated[float | None, typer.Option(help="Examples a second, at least.")]
_Retention = Annotated[
    float | None, typer.Option(help="Share of the teacher's score, at least: 0.97.")
]
_Ladder = Annotated[
    str | None, typer.Option(help="A model for each of these latencies: 0.25,0.5,1,2.")
]
_Length = Annotated[
    str | None, typer.Option(help="Tokens that latency is measured at; `real`: the rows' own.")
]
_Threads = Annotated[int | None, typer.Option(min=1, help="Threads of a timed model.")]
_Engine = Annotated[
    Literal["onnxruntime", "openvino"] | None,
    typer.Option(help="onnxruntime or openvino; left out, the faster one that is installed here."),
]
_Time = Annotated[
    str | None, typer.Option(help="Time for all trainings: 90s, 60m, 2h; else without end.")
]
_Trials = Annotated[int, typer.Option(min=1, help="Students to try, for each latency.")]
_Compare = Annotated[
    str | None, typer.Option(help="Also train these sizes in full: recipe,3x384,tinybert4.")
]
_RunDir = Annotated[Path | None, typer.Option(help="The study's folder; else runs/budget-NAME.")]


def fit_budget(
    recipe: options.Recipe,
    overrides: _Overrides = None,
    latency_ms: _Latency = None,
    size_mb: _Size = None,
    throughput: _Throughput = None,
    retention: _Retention = None,
    ladder: _Ladder = None,
    length: _Length = None,
    threads: _Threads = None,
    engine: _Engine = None,
    time: _Time = None,
    trials: _Trials = 9,
    compare: _Compare = None,
    run_dir: _RunDir = None,
) -> None:
    """Search depth, width, neurons, heads, vocabulary and format for the best model within limits.

    Untrained students are timed first, so that what is too slow or too large is never trained.
    Those that keep the limits are trained for a ninth of the steps, the best third of them for a
    third, the best in full; all share one teacher. What is measured too slow in the end is cut
    again. The same command continues after a stop.

    Example:
      distill fit-budget quickstart --latency-ms 0.8 --size-mb 12 --threads 1
      distill fit-budget sst2 --ladder 0.5,1,2 --time 60m teacher.model=minilm-l6
    """
    steps = _ladder(ladder, latency_ms)
    limits = _limits(
        latency_ms=steps[-1] if steps else latency_ms,
        size_mb=size_mb, throughput=throughput, retention=retention,
    )  # fmt: skip
    wanted = {"ladder": steps, "minutes": _minutes(time), "variants": options.listed(compare)}
    choices = _choices(recipe, list(overrides or []), length, threads)
    folder = run_dir if run_dir is not None else Path("runs") / f"budget-{choices.recipe.name}"
    _search(choices, limits, folder, engines=_engines(engine), trials=trials, wanted=wanted)


def _choices(recipe: str, settings: list[str], length: str | None, threads: int | None) -> Choices:
    last = Choices(recipe, settings).recipe.stages[-1].name
    settings += [f"stages.{last}.lengths=[{length}]"] if length is not None else []
    settings += [f"stages.{last}.threads={threads}"] if threads is not None else []
    return Choices(recipe, settings)


def _search(
    choices: Choices,
    limits: Limits,
    folder: Path,
    *,
    engines: Sequence[Engine],
    trials: int,
    wanted: dict[str, Any],
) -> None:
    """Time untrained students, train candidates, print what was found.

    Raises:
        UserError: nothing keeps the limits.
    """
    _check(folder, budget_study(choices, limits, {}, **wanted))
    # Heavy: torch comes with what exports and times.
    from distill.evaluation.limits import nearest
    from distill.pipeline.shape_table import measure_shapes
    from distill.pipeline.study import run_study

    steps, settings = wanted["ladder"], choices.overrides
    with interruptible(folder):
        trims = limits.size_mb is not None
        table = measure_shapes(choices, folder / _TABLE, engines=engines, trims=trims)
        choices.serve_by(table.engine)
        every = [limits.model_copy(update={"latency_ms": one}) for one in steps] or [limits]
        tried = candidates(choices, every, table, most=trials)
        file = _write(folder, budget_study(choices, limits, tried, **wanted))
        loaded = load_study(file, *settings, check_files=True)
        command = shlex.join(["distill", "study", str(file), *settings, "--run-dir", str(folder)])
        results = run_study(loaded, folder, command=command)
    print_results(folder, results, as_json=False)
    missed = next((one.limits for one in results.targets if one.chosen is None), None)
    if missed is not None:
        raise UserError(f"no trial keeps {missed.describe()}; {nearest(missed, folder, results)}")


def _engines(name: str | None) -> list[Engine]:
    there = find_spec("openvino") is not None
    if name is None:
        return ["onnx", "openvino"] if there else ["onnx"]
    if name == "openvino" and not there:
        raise UserError("--engine openvino: pip install openvino nncf")
    return [_ENGINES[name]]


def _ladder(text: str | None, latency_ms: float | None) -> list[float]:
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
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise UserError(f"--time {text}: write 90s, 60m or 2h")
    return float(found[1]) * {"s": 1 / 60, "m": 1.0, "": 1.0, "h": 60.0}[found[2]]


def _limits(**given: float | None) -> Limits:
    from pydantic import ValidationError

    try:
        limits = Limits.model_validate(given)
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

    file = folder / "study.yaml"
    if file.is_file():
        before = yaml.safe_load(file.read_text("utf-8"))
        search, asked = before.get("search", {}), content["search"]
        kept = all(search.get(key) == asked.get(key) for key in ("strategy", "limits", "ladder"))
        if before.get("recipe") != content["recipe"] or not kept:
            raise RunFolderError(f"{folder}: holds another budget; choose another --run-dir")
    # What begins with a dot is a lock, or was being written when a run was killed.
    elif folder.exists() and any(
        one.name not in (_TABLE, "log.txt") for one in folder.glob("[!.]*")
    ):
        raise RunFolderError(f"{folder}: is not empty and no budget's; choose another --run-dir")


def _write(folder: Path, content: dict[str, Any]) -> Path:
    import yaml

    file = folder / "study.yaml"
    # Copied, as YAML writes what stands twice as an alias.
    plain = json.loads(json.dumps(content))
    atomic.write_text(file, yaml.safe_dump(plain, sort_keys=False))
    return file
