"""A study in Weights & Biases: a group, in it a run for each trial, and one with the tables."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from distill.evaluation.results import read_results
from distill.evaluation.study import StudyResults, TrialResult
from distill.recipe.loader import resolved
from distill.recipe.plan import Trial
from distill.recipe.schema import WandbConfig
from distill.system import digest
from distill.tracking.metrics_csv import read_rows
from distill.tracking.weights_biases import begin_run, check_key, log_models

#: Seconds between two looks at the curves of trials that run.
_PAUSE = 5.0
SWEEP = "WANDB_SWEEP_ID"


class StudyRuns:
    """The W&B runs of a study.

    A run of a trial begins with the trial. Its config is the trial's recipe and what its variant
    changes, its curves are those of ``metrics.csv``, as ``STAGE/METRIC`` over ``STAGE/step``, and
    its summary holds the final numbers. Under an agent of a sweep it is the agent's run.

    Raises:
        UserError: the mode is online and there is no API key.
    """

    def __init__(self, config: WandbConfig, folder: Path) -> None:
        check_key(config)
        self._config, self._folder = config, folder.resolve()
        self._runs: dict[str, Any] = {}
        self._seen: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        self._looked = 0.0

    def begin(self, trial: Trial, settings: dict[str, Any]) -> None:
        config = {**settings, "seed": trial.seed, "recipe": resolved(trial.recipe)}
        name = "-".join(trial.folder.split("/")[1:])
        run = self._begin(trial.folder, name, "trial", config, [trial.variant, trial.task])
        self._runs[trial.folder] = run
        for stage in trial.planned():
            run.define_metric(f"{stage.name}/*", step_metric=f"{stage.name}/step")
        if run.resumed:  # W&B has what was there before
            rows = read_rows(self._folder / trial.folder / "metrics.csv")
            self._seen[trial.folder] = {row[:4] for row in rows}

    def follow(self) -> None:
        """Add to every run what its trial has measured since the last call."""
        if time.monotonic() - self._looked > _PAUSE:
            self._looked = time.monotonic()
            for folder in self._runs:
                self._log(folder)

    def end(self, trial: Trial, result: TrialResult, value: float) -> None:
        run = self._runs[trial.folder]
        self._log(trial.folder)
        del self._runs[trial.folder]
        found: dict[str, Any] = {"value": value, "seconds": result.seconds, "status": result.status}
        found |= {"score": result.score, "validation": result.validation, "reason": result.reason}
        found |= result.scores
        run.log({key: one for key, one in found.items() if one not in (None, "")})
        path = self._folder / trial.folder
        if trial.evaluates and result.status == "done":
            bundle = path / "bundle"
            name = f"{self._folder.name}-{run.name}"
            log_models(run, read_results(path), bundle if bundle.is_dir() else None, name=name)
        run.finish(exit_code=1 if result.status == "failed" else 0)

    def stop(self) -> None:
        for run in self._runs.values():
            run.finish(exit_code=130)

    def finish(self, results: StudyResults) -> None:
        """Add the study's tables and its Pareto picture, as a run of their own."""
        if os.environ.get(SWEEP):
            return
        import wandb

        from distill.report.study import summary, tables
        from distill.report.study_page import pareto_figure

        run = self._begin("", "study", "study", {"command": results.command}, [])
        for number, table in enumerate(tables(results), 1):
            header = [name or "note" for name in table.header]
            run.log({f"table {number}": wandb.Table(columns=[*header], data=table.rows)})
            run.summary[f"table {number}"] = table.title
        figure = pareto_figure(results)
        if figure is not None:
            run.log({"pareto": wandb.Image(figure)})
        run.summary["result"] = summary(results)
        run.finish()

    def _begin(
        self, folder: str, name: str, job: str, content: dict[str, Any], tags: list[str]
    ) -> Any:
        agent, config = os.environ.get(SWEEP), self._config
        (self._folder / folder).mkdir(parents=True, exist_ok=True)
        mine = {
            "id": digest.of_json([str(self._folder), folder])[:16],
            "project": config.project,
            "entity": config.entity,
            "resume": "allow",
        }
        return begin_run(
            "offline" if config.mode == "offline" else "online",
            name=name,
            group=self._folder.name,
            job_type=job,
            tags=[*config.tags, *(tag[:64] for tag in tags if tag)],
            dir=str(self._folder / folder),
            config=content,
            **({} if agent else mine),
        )

    def _log(self, folder: str) -> None:
        run, seen = self._runs[folder], self._seen[folder]
        points: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        for row in read_rows(self._folder / folder / "metrics.csv"):
            stage, step, epoch, metric, value, _ = row
            if row[:4] not in seen and value:
                seen.add(row[:4])
                points[stage, step] |= {f"{stage}/{metric}": float(value)}
                points[stage, step] |= {f"{stage}/epoch": float(epoch)} if epoch else {}
        for (stage, step), values in points.items():
            run.log({f"{stage}/step": int(step), **values})


def study_runs(trials: list[Trial], folder: Path) -> StudyRuns | None:
    """The W&B runs of a study; ``None`` where its recipe does not ask for them."""
    config = trials[0].recipe.track.wandb if trials else None
    if os.environ.get(SWEEP):  # whose agent an offline run would tell nothing
        mode = "offline" if os.environ.get("WANDB_MODE") == "offline" else "online"
        config = (config or WandbConfig()).model_copy(update={"mode": mode})
    return None if config is None or config.mode == "off" else StudyRuns(config, folder)
