"""Weights & Biases: a group of runs for a run folder, one for each stage; it never prompts.

Of a study's trials the study itself makes runs (:mod:`distill.tracking.study_runs`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from distill.evaluation.ledger import ledger
from distill.evaluation.results import ModelRow, Results
from distill.recipe.run_models import STUDY
from distill.recipe.schema import WandbConfig
from distill.system import digest
from distill.system.errors import UserError

#: Columns of the results table, by their keys in ``results.json``.
_COLUMNS = ("name", "stage", "format", "score", "retention", "parameters", "macs", "bytes")


def wandb_logger(
    config: WandbConfig | None, *, recipe: dict[str, Any], run_folder: Path, stage: str
) -> WandbLogger | None:
    """The W&B logger of a stage, or ``None`` where W&B is not used, and of a study's trials.

    Nothing is written before the first row is. A resumed stage goes on with the same W&B run.

    Args:
        config: the recipe's ``track.wandb``.
        recipe: the resolved recipe, W&B's config.
        run_folder: its name is the group's; files go to ``wandb/`` in it.
        stage: the stage's name, W&B's job type.

    Raises:
        UserError: the mode is online and there is no API key.
    """
    if config is None or config.mode == "off" or in_study(run_folder):
        return None
    check_key(config)
    group = run_folder.resolve().name
    return _QuietWandbLogger(
        name=f"{group}-{stage}",
        project=config.project,
        entity=config.entity,
        tags=config.tags,
        group=group,
        job_type=stage,
        id=digest.of_json([str(run_folder.resolve()), stage])[:16],
        offline=config.mode == "offline",
        save_dir=str(run_folder),
        config=recipe,
    )


def in_study(run_folder: Path) -> bool:
    """Whether a run is one of a study's trials."""
    return any((around / STUDY).is_file() for around in run_folder.resolve().parents[:4])


def check_key(config: WandbConfig) -> None:
    """See that there is a key where one is needed.

    Raises:
        UserError: the mode is online and there is no API key.
    """
    if config.mode != "online" or os.environ.get("WANDB_API_KEY"):
        return
    import wandb

    if not wandb.login(prompt=False, verify=False):
        raise UserError(
            "track.wandb.mode is 'online' but there is no API key: set WANDB_API_KEY, run "
            "'wandb login', or use track.wandb.mode=offline"
        )


def begin_run(mode: Literal["offline", "online"], **about: Any) -> Any:
    """Begin a W&B run without its lines on the terminal, beside others that are under way.

    Raises:
        UserError: it cannot be begun.
    """
    import wandb

    settings = wandb.Settings(silent=True, console="off")
    try:
        return wandb.init(mode=mode, settings=settings, reinit="create_new", **about)
    except wandb.errors.Error as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"track.wandb: a W&B run could not be begun ({first}); "
            "with track.wandb.mode=offline no network is needed"
        ) from error


class _QuietWandbLogger(WandbLogger):
    """W&B without its lines on the terminal, in the mode the recipe says."""

    @property
    def experiment(self) -> Any:
        """The W&B run, begun when it is first asked for."""
        if self._experiment is None and not getattr(rank_zero_only, "rank", 0):
            self._wandb_init.pop("anonymous", None)  # deprecated in wandb, still given by Lightning
            self._experiment = begin_run(
                "offline" if self._offline else "online", **self._wandb_init
            )
            self._experiment.define_metric("trainer/global_step")
            self._experiment.define_metric("*", step_metric="trainer/global_step")
        return self._experiment if self._experiment is not None else super().experiment


def finish(loggers: Iterable[Logger]) -> None:
    """End the W&B runs that have begun, so that the next stage has one of its own."""
    for target in loggers:
        if isinstance(target, WandbLogger) and target._experiment is not None:
            target.experiment.finish()
            target._experiment = None


def log_results(
    config: WandbConfig | None, run_folder: Path, results: Results, bundle: Path | None
) -> None:
    """Add the final table and the bundle, as an artifact, to W&B: a run of its own in the group.

    Raises:
        UserError: the mode is online and there is no API key.
    """
    about = {"recipe": results.recipe, "task": results.task, "metric": results.metric}
    target = wandb_logger(config, recipe=about, run_folder=run_folder, stage="results")
    if target is None:
        return
    log_models(target.experiment, results, bundle, name=run_folder.resolve().name)
    finish([target])


def log_models(run: Any, results: Results, bundle: Path | None, *, name: str) -> None:
    """Add all models' numbers, and the bundle as an artifact of a name, to a W&B run."""
    import wandb

    columns, rows = _table(results.models)
    run.log({"results": wandb.Table(columns=[*columns], data=rows)})
    steps = _ledger(results)
    run.log({"ledger": wandb.Table(columns=[*steps[0]], data=[[*row.values()] for row in steps])})
    for row in rows:
        model = dict(zip(columns, row, strict=True))
        for key in ("score", "retention", "bytes"):
            run.summary[f"{model['name']}/{key}"] = model[key]
    if bundle is not None:
        artifact = wandb.Artifact(name, type="model")
        for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
            # One by one, as wandb prints a line for a folder; not copied, as a bundle is final.
            inside = path.relative_to(bundle).as_posix()
            artifact.add_file(str(path), name=inside, policy="immutable")
        run.log_artifact(artifact)


def _ledger(results: Results) -> list[dict[str, Any]]:
    """What each step cost and gained, a mapping a row."""
    return [
        {
            "step": step.model.name,
            "from": step.before.name if step.before else "",
            "score": step.model.score,
            "drop": step.before.score - step.model.score if step.before else 0.0,
            "p50_ms": step.latency.p50 if step.latency else None,
            "p95_ms": step.latency.p95 if step.latency else None,
            "throughput": step.throughput,
            "bytes": step.model.bytes,
            "parameters": step.model.parameters,
            "macs": step.model.macs,
            "step_faster": step.faster,
            "step_smaller": step.smaller,
            "faster": step.model.ratios.latency,
            "smaller": step.model.ratios.size,
            "faster_than_reference": step.model.against.latency if step.model.against else None,
            "note": step.verdict,
        }
        for step in ledger(results)
    ]


def _table(models: list[ModelRow]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the results: facts, then speed by cell (``b1_l32``)."""
    flat = []
    for model in models:
        row = {name: getattr(model, name) for name in _COLUMNS}
        row |= {f"latency_ms/{cell}": found.p50 for cell, found in model.latency_ms.items()}
        row |= {f"throughput/{cell}": value for cell, value in model.throughput.items()}
        flat.append(row)
    columns = list(dict.fromkeys(name for row in flat for name in row))
    return columns, [[row.get(name) for name in columns] for row in flat]
