"""What is known of a study's trials: in memory, and in ``study.json`` after each of them."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.evaluation.limits import excess, measured
from distill.evaluation.over_seeds import model_table
from distill.evaluation.results import Results, read_results
from distill.evaluation.study import (
    Chosen,
    Column,
    Row,
    StudyResults,
    Target,
    TrialResult,
    read_study,
    write_study,
)
from distill.pipeline.strategy import stage_keys
from distill.recipe.inputs import named_paths
from distill.recipe.loader import resolved
from distill.recipe.plan import Trial
from distill.recipe.schema import Limits
from distill.recipe.study import LoadedStudy
from distill.report.run_data import read_curves
from distill.system import digest
from distill.system.errors import RunFolderError


class StudyRecord:
    """The trials' results, each under the hash of its recipe.

    Args:
        command: the command line that runs the study.

    Raises:
        RunFolderError: the folder holds another study, or something else.
    """

    def __init__(self, loaded: LoadedStudy, folder: Path, command: str) -> None:
        self.loaded, self.folder, self.command = loaded, folder, command
        before = read_study(folder)
        if before is not None and before.name != loaded.config.name:
            raise RunFolderError(
                f"{folder}: holds the study '{before.name}'; choose another --run-dir"
            )
        self._found = {trial.folder: trial for trial in (before.trials if before else [])}
        self._files: dict[str, str | None] = {}
        self._keys: dict[str, str] = {}
        self._machine = before.machine if before else {}
        self._written = set(loaded.config.variants)

    def _key(self, trial: Trial) -> str:
        """Hash of a trial's recipe and of the files that it names."""
        if trial.folder not in self._keys:
            self._keys[trial.folder] = self._computed_key(trial)
        return self._keys[trial.folder]

    def _computed_key(self, trial: Trial) -> str:
        left_out = ("name", "description", "track")
        content = {k: v for k, v in resolved(trial.recipe).items() if k not in left_out}
        names = (name for _, name, _ in named_paths(trial.recipe))
        files = {name: found for name in names if (found := self._digest(name))}
        return digest.of_json({"recipe": content, "stage": trial.stage, "files": files})

    def _digest(self, name: str) -> str | None:
        if name not in self._files:
            path = Path(name).expanduser()
            whole = digest.of_folder if path.is_dir() else digest.of_file
            self._files[name] = whole(path) if path.exists() else None
        return self._files[name]

    def get(self, trial: Trial) -> TrialResult | None:
        """A trial's result, unless its recipe has changed since."""
        found = self._found.get(trial.folder)
        return found if found is not None and found.key == self._key(trial) else None

    def is_done(self, trial: Trial) -> bool:
        found = self.get(trial)
        there = not trial.evaluates or (self.folder / trial.folder / "results.json").is_file()
        return found is not None and found.status == "done" and there

    def add(self, trial: Trial, outcome: Mapping[str, Any]) -> TrialResult:
        """Put down the outcome of a trial (:mod:`distill.pipeline.trial`), on the disk too."""
        facts = outcome.get("facts", {})
        score, stopped = facts.get("score"), "stopped" in outcome
        if stopped:
            score = max(validation_scores(self.folder / trial.folder, trial), default=None)
        self._found[trial.folder] = TrialResult(
            variant=trial.variant,
            task=trial.task,
            seed=trial.seed,
            key=self._key(trial),
            status="failed" if "failed" in outcome else "stopped" if stopped else "done",
            evaluated=trial.evaluates,
            score=score,
            scores=facts.get("scores", {}),
            validation=score,
            seconds=outcome["seconds"],
            reason=outcome.get("failed", ""),
            folder=trial.folder,
        )
        results = self.save()
        return next(one for one in results.trials if one.folder == trial.folder)

    def save(self) -> StudyResults:
        """Write everything known, in the order of the file."""
        if not self._machine:
            from distill.evaluation.machine import machine

            self._machine = machine()
        config, trials = self.loaded.config, self.loaded.trials
        search = config.search
        results = StudyResults(
            schema=1,
            name=config.name,
            description=config.description,
            command=self.command,
            compare_to=config.reference,
            tasks=[self._column(name) for name in config.tasks],
            variants=[
                Row(
                    name=name,
                    title=variant.title or name or config.name,
                    tasks=variant.tasks or list(config.tasks),
                    skipped=self.loaded.skipped.get(name, ""),
                    searched=name not in self._written,
                    predicted=self.loaded.candidates[name].predicted
                    if name in self.loaded.candidates
                    else None,
                )
                for name, variant in config.variants.items()
            ],
            machine=self._machine,
            limits=search.limits if search is not None else None,
            targets=[Target(limits=one) for one in search.targets()]
            if search is not None and search.strategy == "halving" and search.limits
            else [],
            trials=[result for trial in trials if (result := self.get(trial))],
        )
        results = gathered(self.folder, results)
        write_study(self.folder, results)
        return results

    def _column(self, name: str) -> Column:
        here = [trial for trial in self.loaded.trials if trial.task == name]
        return Column(
            name=name,
            title=self.loaded.config.tasks[name].title or name,
            metric=here[0].recipe.task.metric if here else "",
            seeds=list(dict.fromkeys(trial.seed for trial in here)),
            examples_by_seed=any(_draws_examples(trial) for trial in here),
        )

    def remove_weights(self) -> None:
        """Remove the models of finished trials that no other trial can take over any more.

        Those of teachers stay, and everything of trials that were evaluated.
        """
        trials = self.loaded.trials
        keys = {trial.folder: stage_keys(trial) for trial in trials}
        needed = {key for t in trials if not self.is_done(t) for key in keys[t.folder]}
        for trial in trials:
            if trial.evaluates or not self.is_done(trial):
                continue
            for stage, key in zip(trial.planned(), keys[trial.folder], strict=True):
                if stage.kind != "teacher" and key not in needed:
                    model = self.folder / trial.folder / stage.folder / "model"
                    shutil.rmtree(model, ignore_errors=True)


def validation_scores(run: Path, trial: Trial) -> list[float]:
    """The validation scores so far of the last training that a trial does."""
    kinds = ("teacher", "baseline", "distill")
    trained = [stage.name for stage in trial.planned() if stage.kind in kinds]
    curves = read_curves(run / "metrics.csv").get(trained[-1], {}) if trained else {}
    return [score for _, score in curves.get(f"validation/{trial.recipe.task.metric}", [])]


def _draws_examples(trial: Trial) -> bool:
    data = trial.recipe.data
    on_test = trial.evaluates and data.test is not None
    held_out = data.source == "files" and data.validation is None
    return not on_test and (held_out or data.limit_validation is not None)


def gathered(folder: Path, results: StudyResults) -> StudyResults:
    """A study with what its evaluated trials measured, read anew from their run folders."""
    trials, found = [], dict[tuple[str, str], dict[int, Results]]()
    for trial in results.trials:
        run = folder / trial.folder
        if trial.evaluated and trial.status == "done" and (run / "results.json").is_file():
            measured = read_results(run)
            found.setdefault((trial.variant, trial.task), {})[trial.seed] = measured
            scores = {"score": measured.final.score, "scores": measured.final.scores}
            validation = {"validation": _validation(run, measured), "split": measured.split}
            trial = trial.model_copy(update=scores | validation)
        trials.append(trial)
    models = [model_table(variant, task, runs) for (variant, task), runs in found.items()]
    update = {"trials": trials, "models": models}
    results = results.model_copy(update=update)
    results = _searched(folder, results) if results.searched else _chosen(results)
    # Heavy: numpy.
    from distill.evaluation.bootstrap import with_intervals

    return with_intervals(folder, results)


def _chosen(results: StudyResults) -> StudyResults:
    """A study of one variant on one task with its best seed."""
    done = results.measured()
    found = _best_of(done, len(done), results) if len(results.variants) == 1 else None
    return results.model_copy(update={"chosen": found})


def _searched(folder: Path, results: StudyResults) -> StudyResults:
    """A search with what of it keeps the limits, and the best of that on validation examples."""
    done = results.measured()
    finals = {trial.folder: read_results(folder / trial.folder).final for trial in done}

    def best(limits: Limits | None) -> tuple[list[TrialResult], Chosen | None]:
        kept = [t for t in done if limits is None or excess(limits, finals[t.folder]) == 0]
        return kept, _best_of(kept, len(done), results)

    kept, chosen = best(results.limits)
    within = {t.variant: all(o in kept for o in done if o.variant == t.variant) for t in done}
    variants = [row.model_copy(update={"within": within.get(row.name)}) for row in results.variants]
    targets = []
    for target in results.targets:
        found = best(target.limits)[1]
        numbers = measured(finals[found.folder]) if found is not None else None
        targets.append(target.model_copy(update={"chosen": found, "measured": numbers}))
    update = {"variants": variants, "chosen": chosen, "targets": targets}
    return results.model_copy(update=update)


def _best_of(kept: Sequence[TrialResult], count: int, results: StudyResults) -> Chosen | None:
    """The best on the validation examples of some trials, of equal ones the first."""
    if not kept or len(results.tasks) != 1:
        return None
    best = max(kept, key=lambda one: -math.inf if one.validation is None else one.validation)
    return Chosen(
        variant=best.variant,
        seed=best.seed,
        seeds=count,
        folder=best.folder,
        metric=results.tasks[0].metric,
        validation=best.validation,
    )


def _validation(run: Path, results: Results) -> float | None:
    """The final model's score on the validation examples, as its stage put it down."""
    final = results.final
    if results.split == "validation":
        return final.score
    for path in run.glob(f"[0-9]*-{final.stage}/stage.json"):
        facts = json.loads(path.read_text("utf-8"))
        score = facts.get("scores_by_format", {}).get(final.name, facts.get("score"))
        return None if score is None else float(score)
    return None
