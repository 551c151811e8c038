"""A study's search: variants that a tuner makes, each after what the earlier ones came to.

What the tuner proposed and what it was told is kept in ``search.jsonl``, in order. A search that
was stopped is led through it again, so it goes on as if it had never been.
"""

from __future__ import annotations

import json
import logging
import statistics
from dataclasses import dataclass
from typing import Any

from distill.evaluation.limits import FAILED, trial_value
from distill.evaluation.study import TrialResult
from distill.pipeline.strategy import OverGrid
from distill.pipeline.study_record import validation_scores
from distill.pipeline.tuner import Assessor, Tuner
from distill.recipe.plan import Trial
from distill.recipe.search_space import Values
from distill.system import digest
from distill.system.errors import RecipeError, RunFolderError

logger = logging.getLogger("distill")

_EVENTS = "search.jsonl"
_Event = dict[str, Any]


@dataclass
class Searched(OverGrid):
    """Trials of a grid, then those that a tuner proposes.

    Args:
        loaded, search, grid, folder, known: see :class:`~distill.pipeline.strategy.OverGrid`.
        given: what a sweep's agent wants tried, once, in the place of a tuner's proposals.

    Raises:
        RunFolderError: the folder holds a search over another space, or of other recipes.
    """

    given: Values | None = None

    def __post_init__(self) -> None:
        search, given = self.search, self.given
        self._tuner = Tuner(search) if given is None else None
        self._assessor = Assessor(search.early_stop) if search.early_stop else None
        #: Trials of each variant that are not over, and the values of those that are.
        self._open: dict[str, list[Trial]] = {}
        self._values: dict[str, list[float]] = {}
        self._count = 0
        self._exhausted = False
        self._replay()

    @property
    def left(self) -> int:
        return len(self.grid.waiting) + self._to_propose

    @property
    def _to_propose(self) -> int:
        if self._exhausted:
            return 0
        return 1 if self.given is not None else max(0, self.search.trials - self._count)

    def next(self) -> Trial | None:
        trial = self.grid.next()
        while trial is None and not self.grid.waiting and self._to_propose:
            values = self._propose()
            if values is None:
                self._exhausted = True
                logger.info("search: every combination has been tried")
                break
            event = {"number": self._count, "values": values}
            self._write(event)
            trials = self._begin(event)
            if not trials:
                self._close({"number": event["number"], "value": FAILED})
            self.grid.add(trials)
            trial = self.grid.next()
        return trial

    def _propose(self) -> Values | None:
        if self._tuner is not None:
            return self._tuner.propose(self._count)
        self._exhausted = True
        return self.given

    def ended(self, trial: Trial, result: TrialResult) -> None:
        """A trial is over; once all of its variant are, the tuner learns their mean value."""
        self.grid.ended(trial, result)
        self._compare_with(trial, result)
        if trial.variant in self._open:
            self._put_down(trial, result)

    def stops(self, trial: Trial) -> bool:
        if self._assessor is None or trial.variant not in self._open:
            return False
        return self._assessor.stops(
            trial.name, validation_scores(self.folder / trial.folder, trial)
        )

    def _compare_with(self, trial: Trial, result: TrialResult) -> None:
        """Let later trials be compared with one that is over."""
        if self._assessor is not None:
            scores = validation_scores(self.folder / trial.folder, trial)
            self._assessor.ended(trial.name, scores, whole=result.status == "done")

    def _put_down(self, trial: Trial, result: TrialResult) -> None:
        trials, values = self._open[trial.variant], self._values[trial.variant]
        trials.remove(trial)
        values.append(trial_value(self.search.limits, self.folder, result))
        if not trials:
            number = int(trial.variant.removeprefix("t")) - 1
            self._close({"number": number, "value": statistics.fmean(values)})

    def _begin(self, event: _Event) -> list[Trial]:
        """The trials of proposed values; none where they do not go together."""
        self._count = event["number"] + 1
        name = f"t{self._count:02d}"
        try:
            trials = self.loaded.add_variant(name, event["values"])
        except RecipeError as error:
            logger.warning("%s: left out: %s", name, str(error).splitlines()[0])
            return []
        self._open[name], self._values[name] = list(trials), []
        return trials

    def _close(self, event: _Event) -> None:
        self._write(event)
        self._learn(event)

    def _learn(self, event: _Event) -> list[Trial]:
        """Tell the tuner; the variant's trials that it need not wait for any more."""
        if self._tuner is not None:
            self._tuner.learn(event["number"], event["value"])
        name = f"t{event['number'] + 1:02d}"
        self._values.pop(name, None)
        return self._open.pop(name, [])

    def _replay(self) -> None:
        """Lead the tuner through what it was asked and told before."""
        path = self.folder / _EVENTS
        content = self.search.model_dump(mode="json", exclude={"trials"})
        head = {"search": digest.of_json(content), "sweep": self._tuner is None}
        if not path.is_file():
            self._write(head)
            return
        # A line that a kill has cut is the last one; what it held comes again.
        lines = path.read_text("utf-8").rpartition("\n")[0].splitlines()
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        before, *events = [json.loads(line) for line in lines] or [head]
        if before != head:
            raise RunFolderError(
                f"{self.folder}: holds a search with other settings; choose another --run-dir"
            )
        begun: list[Trial] = []
        for event in events:
            if "values" in event:
                if self._tuner is not None:
                    self._tuner.propose(event["number"])
                begun += self._begin(event)
            else:
                over = self._learn(event)
                if any(self.known(trial) is None for trial in over):
                    raise RunFolderError(
                        f"{self.folder}: holds a search of trials with other settings or files; "
                        "choose another --run-dir"
                    )
                begun = [trial for trial in begun if trial not in over]
        for trial in self.loaded.trials:
            result = self.known(trial)
            if result is not None:
                self._compare_with(trial, result)
        for trial in begun:
            result = self.known(trial)
            if result is not None and result.status != "failed":
                self._put_down(trial, result)
            elif self._tuner is not None:  # a sweep's agent goes on with nothing but its own
                self.grid.add([trial])

    def _write(self, event: _Event) -> None:
        with (self.folder / _EVENTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
