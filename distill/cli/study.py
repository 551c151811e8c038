"""``distill study``: one recipe in many variants, on tasks and seeds, in one table."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from distill.cli import options
from distill.evaluation.study import StudyResults
from distill.recipe.plan import Trial
from distill.recipe.schema import Search
from distill.recipe.study import LoadedStudy, load_study
from distill.system import atomic
from distill.system.errors import UserError, quoted
from distill.training.interrupt import exit_code, stops_at_signals

_Source = Annotated[
    str, typer.Argument(help="A study's or recipe's name (see `distill ls`), or a YAML file.")
]
_Overrides = Annotated[
    list[str] | None,
    typer.Argument(help="Settings of every trial, seeds=[1,2,3], and folders.NAME=DIR."),
]
_RunDir = Annotated[Path | None, typer.Option(help="The study's folder; else runs/study-NAME.")]
_Only = Annotated[str | None, typer.Option(help="Run these variants only: A,B,...")]
_Task = Annotated[str | None, typer.Option(help="Run these tasks only: A,B,...")]
_Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Trials at a time; else one for each core, or one alone where it is timed."
    ),
]
_KeepModels = Annotated[
    bool, typer.Option("--keep-models", help="Keep the weights of trials that are not evaluated.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print study.json instead of the tables.")]
_Sweep = Annotated[
    bool, typer.Option("--wandb-sweep", help="Write the search as a W&B sweep, and run nothing.")
]
_SweepTrial = Annotated[
    str | None,
    typer.Option(help="Run one trial with these settings (JSON), as the sweep's agents do."),
]


def study(
    source: _Source,
    overrides: _Overrides = None,
    run_dir: _RunDir = None,
    only: _Only = None,
    task: _Task = None,
    jobs: _Jobs = None,
    keep_models: _KeepModels = False,
    as_json: _Json = False,
    wandb_sweep: _Sweep = False,
    sweep_trial: _SweepTrial = None,
) -> None:
    """Train one recipe with several seeds, in variants and on tasks, and put all in one table.

    The same command goes on after a stop of any kind. Trials that are done are kept, stages that
    are the same in several trials are done once, and a trial that fails does not stop the rest.

    Example:
      distill study quickstart "seeds=[1,2,3]"
      distill plan ablation/tinybert folders.data=DIR
      distill study ablation/tinybert folders.data=DIR --task mrpc,rte --only full,teacher
    """
    loaded = load_study(source, *(overrides or []), check_files=True)
    wanted, given = _wanted(loaded, only, task), None
    kind = "sweep" if wandb_sweep or sweep_trial is not None else "study"
    folder = run_dir if run_dir is not None else Path("runs") / f"{kind}-{loaded.config.name}"
    if wandb_sweep:
        _write_sweep(loaded, folder, [source, *(overrides or [])])
        return
    if sweep_trial is not None:
        from distill.tracking.sweep import values_of

        wanted, given = lambda _: False, values_of(_one_trial(loaded), sweep_trial)
    command = shlex.join(["distill", "study", source, *map(_without_folder, overrides or [])])
    # Heavy: torch comes with what looks for a GPU.
    from distill.pipeline.study import run_study

    with interruptible(folder):
        results = run_study(
            loaded, folder, wanted=wanted, command=command, keep_models=keep_models, jobs=jobs,
            given=given,
        )  # fmt: skip
    print_results(folder, results, as_json=as_json)
    if results.failures():
        raise typer.Exit(1)


def _one_trial(loaded: LoadedStudy) -> Search:
    """The search of a study whose variants are one trial each, as a sweep's are.

    Raises:
        UserError: it has none, or several tasks or seeds.
    """
    if loaded.config.search is None:
        raise UserError("a sweep needs a search: give the study file a 'search:' section")
    if len({(trial.task, trial.seed) for trial in loaded.likely}) > 1:
        raise UserError("each run of a sweep is one trial: give one task, and one seed (seed=1)")
    return loaded.config.search


def _write_sweep(loaded: LoadedStudy, folder: Path, words: list[str]) -> None:
    import yaml

    from distill.tracking.sweep import sweep

    search = _one_trial(loaded)
    if Path(words[0]).is_file():
        words[0] = str(Path(words[0]).resolve())
    command = ["distill", "study", *words, "--run-dir", str(folder)]
    track = loaded.likely[0].recipe.track.wandb
    content = sweep(loaded.config.name, search, track, command)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "sweep.yaml"
    atomic.write_text(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    typer.echo(f"sweep: {file}")
    typer.echo(f"next: wandb sweep {quoted(file)}; then, on each machine: wandb agent SWEEP_ID")


def print_results(folder: Path, results: StudyResults, *, as_json: bool) -> None:
    """Print a study's tables, write its page, and name the next command."""
    from distill.report.study import print_study
    from distill.report.study_page import write_page
    from distill.runtime.manifest import predict_command

    page = write_page(folder, results)
    if as_json:
        content = results.model_dump(by_alias=True, mode="json")
        options.print_json(content)
        return
    print_study(results)
    typer.echo(f"report: {page}")
    chosen = results.chosen
    if chosen is not None and (folder / chosen.folder / "bundle").is_dir():
        typer.echo(f"bundle: {folder / chosen.folder / 'bundle'} (best on the validation examples)")
        typer.echo(f"next: {predict_command(folder / chosen.folder / 'bundle', folder)}")
    elif results.trials:
        recipe = folder / results.trials[0].folder / "recipe.yaml"
        typer.echo(f"next: distill show {quoted(recipe)}")


def _wanted(loaded: LoadedStudy, only: str | None, task: str | None) -> Callable[[Trial], bool]:
    variants = _chosen("--only", only, list(loaded.config.variants))
    tasks = _chosen("--task", task, list(loaded.config.tasks))
    return lambda trial: trial.variant in variants and trial.task in tasks


def _chosen(option: str, text: str | None, known: list[str]) -> list[str]:
    if text is None:
        return known
    names = options.listed(text)
    for name in names:
        if name not in known:
            there = ", ".join(filter(None, known)) or "none in this study"
            raise UserError(f"{option}: '{name}' is not known; there are: {there}")
    return names


def _without_folder(override: str) -> str:
    """An override as the record has it: without where a folder lies on this machine."""
    key, equals, _ = override.partition("=")
    return f"{key}=DIR" if key.startswith("folders.") and equals else override


@contextmanager
def interruptible(folder: Path) -> Iterator[None]:
    """Stop at a scheduler's signal as at Ctrl-C, and say what goes on after either."""
    try:
        with stops_at_signals():
            yield
    except KeyboardInterrupt as stop:
        typer.echo(f"interrupted; the same command goes on in {folder}", err=True)
        raise typer.Exit(exit_code(stop)) from None
