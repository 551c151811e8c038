"""Which trials of a study are run, and in which order: a grid knows all of them beforehand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.evaluation.study import TrialResult
from distill.recipe.plan import Trial
from distill.recipe.schema import Search
from distill.recipe.study import LoadedStudy
from distill.system import digest


class Strategy(ABC):
    """Decides which trials are run, and in which order."""

    @abstractmethod
    def next(self) -> Trial | None:
        """A trial to begin now; ``None``: not before one of those that are running has ended."""

    @property
    @abstractmethod
    def left(self) -> int:
        """How many trials may still be begun, about."""

    @abstractmethod
    def ended(self, trial: Trial, result: TrialResult) -> None:
        """A trial is over, with its score or as failed."""

    def stops(self, trial: Trial) -> bool:
        """Whether a trial that runs is not worth finishing."""
        return False


class Grid(Strategy):
    """All of a list of trials; one waits while a stage that it shares is being done by another.

    So a stage that several trials share is done by the first of them, and the others take it over.
    ``waiting`` are those that are not begun.
    """

    def __init__(self, trials: Sequence[Trial], folder: Path) -> None:
        self.waiting: list[Trial] = []
        self._folder = folder
        self._keys: dict[str, list[str]] = {}
        self._running: list[Trial] = []
        self._there: set[str] = set()
        self.add(trials)

    def add(self, trials: Sequence[Trial]) -> None:
        """Add trials behind those that wait."""
        self.waiting += trials
        self._keys |= {trial.folder: stage_keys(trial) for trial in trials}

    @property
    def left(self) -> int:
        return len(self.waiting)

    def next(self) -> Trial | None:
        for trial in self._running:
            self._note(trial)
        coming = {key for trial in self._running for key in self._keys[trial.folder]}
        for trial in self.waiting:
            if (coming - self._there).isdisjoint(self._keys[trial.folder]):
                self.waiting.remove(trial)
                self._running.append(trial)
                return trial
        return None

    def ended(self, trial: Trial, result: TrialResult) -> None:
        self._running.remove(trial)
        self._note(trial)

    def _note(self, trial: Trial) -> None:
        run = self._folder / trial.folder
        for stage, key in zip(trial.planned(), self._keys[trial.folder], strict=True):
            if (run / stage.folder / "done.json").is_file():
                self._there.add(key)


@dataclass
class OverGrid(Strategy):
    """What strategies share that add trials to those of the file."""

    loaded: LoadedStudy  # the study; variants and trials are added to it
    search: Search  # its search
    # the trials of the file; it lets one wait while another does a stage that both share
    grid: Grid
    folder: Path  # the study's
    # the result of a trial that is done already, else ``None``
    known: Callable[[Trial], TrialResult | None]


def stage_keys(trial: Trial) -> list[str]:
    """One key for each stage of a trial: two that are equal are done from the same settings."""
    recipe, keys = trial.recipe, []
    before: list[str] = []
    shared = {
        name: getattr(recipe, name).model_dump(mode="json")
        for name in ("task", "data", "teacher", "trainer")
    }
    for stage in trial.planned():
        content = shared | {
            "config": stage.config.model_dump(mode="json"),
            "name": stage.name,
            "index": stage.index,
            "seed": recipe.seed,
            "student": recipe.student.model_dump(mode="json") if stage.kind != "teacher" else None,
            "before": [] if stage.kind in ("baseline", "teacher") else list(before),
        }
        keys.append(digest.of_json(content))
        if stage.kind != "baseline":
            before.append(keys[-1])
    return keys
