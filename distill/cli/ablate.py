"""``distill ablate``: one recipe in many variants, on tasks and seeds, in one table."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from distill.evaluation.ablation import AblationResults
    from distill.recipe.ablation import Cell, LoadedAblation


def ablate(
    ablation: Annotated[
        str, typer.Argument(help="An ablation's name (see `distill ls`) or a YAML file.")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings of every cell: data.limit_train=200.")
    ] = None,
    run_dir: Annotated[
        Path | None, typer.Option(help="The ablation's folder; else runs/ablation-NAME.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="The folder of the data: short for --folder data=DIR.")
    ] = None,
    folder: Annotated[
        list[str] | None, typer.Option(help="NAME=DIR: a folder that the file leaves open.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Run these variants only: A,B,...")] = None,
    task: Annotated[str | None, typer.Option(help="Run these tasks only: A,B,...")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be run and how long it takes.")
    ] = False,
    results: Annotated[
        bool, typer.Option("--results", help="Print the table so far; run nothing.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the table there as Markdown, too.")
    ] = None,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Keep every cell's weights.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Cells done at the same time; else one for each physical core."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print ablation.json instead of the table.")
    ] = False,
) -> None:
    """Train one recipe in many variants, on several tasks and seeds, and put them in one table.

    The same command goes on after a stop of any kind. Cells that are done are kept, stages that
    are the same in several cells are trained once, and a cell that fails does not stop the rest.

    Example:
      distill ablate tinybert --data DIR --plan
      distill ablate tinybert --data DIR --task mrpc,rte --only full,without-attention
      distill ablate tinybert --data DIR --markdown table.md
    """
    from distill.recipe.ablation import load_ablation

    loaded = load_ablation(
        ablation,
        *(overrides or []),
        folders=_folders(data, folder or []),
        look=not (plan or results),
    )
    wanted = _wanted(loaded, only, task)
    count = jobs or _default_jobs(loaded, look=not (plan or results))
    place = run_dir if run_dir is not None else Path("runs") / f"ablation-{loaded.config.name}"
    if plan:
        _tell_plan(loaded, [cell for cell in loaded.cells if wanted(cell)], as_json=as_json)
        return
    command = shlex.join(["distill", "ablate", ablation, *(overrides or []), *_stand_ins(loaded)])
    # Heavy: torch, transformers and lightning come with the cells.
    from distill.pipeline import ablation as running

    if results:
        _tell(running.results_so_far(loaded, place, command), place, markdown, as_json=as_json)
        return
    with _interruptible():
        found = running.ablate(
            loaded, place, wanted=wanted, command=command, keep_models=keep_models, jobs=count
        )
    _tell(found, place, markdown, as_json=as_json)
    if found.failures():
        raise typer.Exit(1)


def _wanted(loaded: LoadedAblation, only: str | None, task: str | None) -> Callable[[Cell], bool]:
    """Which cells are run, by their variants and tasks."""
    variants = _chosen("--only", only, list(loaded.config.variants))
    tasks = _chosen("--task", task, list(loaded.config.tasks))
    return lambda cell: cell.variant in variants and cell.task in tasks


def _default_jobs(loaded: LoadedAblation, *, look: bool) -> int:
    """One cell for each core, or one alone where cells take several or share a GPU."""
    from distill.evaluation.machine import physical_cores

    trainers = [cell.recipe.trainer for cell in loaded.cells]
    devices = max((trainer.devices for trainer in trainers), default=1)
    if look and any(trainer.accelerator != "cpu" for trainer in trainers):
        from distill.modules.devices import on_gpu

        if any(map(on_gpu, trainers)):
            return 1
    return max(1, physical_cores() // devices)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Stop at SIGTERM as at Ctrl-C, and tell what goes on after either."""

    def as_ctrl_c(_number: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGINT)

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, as_ctrl_c) if main else None
    try:
        yield
    except KeyboardInterrupt as stop:
        words = ["distill", *sys.argv[1:]] if sys.argv[1:2] == ["ablate"] else []
        stop.resume_command = shlex.join(words) or "the same command"  # type: ignore[attr-defined]
        raise
    finally:
        if main:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _tell(found: AblationResults, place: Path, markdown: Path | None, *, as_json: bool) -> None:
    from distill import atomic
    from distill.report.ablation_page import write_page
    from distill.report.ablation_table import markdown as as_markdown
    from distill.report.ablation_table import plain_table

    if markdown is not None:
        atomic.write_text(markdown, as_markdown(found))
    if found.cells:
        write_page(place / "report.html", found)
    if as_json:
        content = found.model_dump(by_alias=True, mode="json")
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    typer.echo(plain_table(found))
    if found.cells:
        typer.echo(f"report: {place / 'report.html'}")
        typer.echo(f"next: distill show {place / found.cells[0].folder / 'recipe.yaml'}")


def _folders(data: str | None, given: Sequence[str]) -> dict[str, str]:
    from distill.errors import UserError

    found = {} if data is None else {"data": data}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise UserError(f"--folder {text}: not NAME=DIR, such as data=glue")
        found[name] = path
    for name, path in found.items():
        if not Path(path).expanduser().is_dir():
            raise UserError(f"--folder {name}={path}: there is no such folder")
    return {name: str(Path(path).expanduser().resolve()) for name, path in found.items()}


def _stand_ins(loaded: LoadedAblation) -> list[str]:
    """The folders as the record names them: without where they lie on this machine."""
    found: list[str] = []
    for name in loaded.folders:
        found += ["--data", "DIR"] if name == "data" else ["--folder", f"{name}=DIR"]
    return found


def _chosen(option: str, text: str | None, known: list[str]) -> list[str]:
    from distill.errors import UserError

    if text is None:
        return known
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UserError(f"{option}: '{name}' is not known; there are: {', '.join(known)}")
    return names


def _tell_plan(loaded: LoadedAblation, cells: list[Cell], *, as_json: bool) -> None:
    if as_json:
        rows = [{"variant": c.variant, "task": c.task, "seed": c.seed} for c in cells]
        content = {"cells": rows, "skipped": loaded.skipped}
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    for cell in cells:
        stages = ", ".join(stage.name for stage in cell.planned())
        typer.echo(f"{cell.task:<12} seed {cell.seed:<6} {cell.variant:<28}  {stages}")
    for name, why in loaded.skipped.items():
        typer.echo(f"skipped: {name}: {why}")
    typer.echo(f"{len(cells)} cells")
