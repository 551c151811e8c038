"""Where an ablation stands, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Sequence

from distill.console import clock
from distill.recipe.ablation import Cell

Named = tuple[str, str, int]


def named(cell: Cell) -> Named:
    """What a cell is called among the others."""
    return cell.variant, cell.task, cell.seed


def title(cell: Cell) -> str:
    """A cell's name for a person."""
    return f"{cell.variant}, {cell.task}, seed {cell.seed}"


class Progress:
    """Counts cells and how long they took.

    Args:
        todo: those that are done now, in order.
        jobs: how many are done at the same time, each in one thread if there are several.
    """

    def __init__(self, todo: Sequence[Cell], jobs: int = 1) -> None:
        self._left = {named(cell) for cell in todo}
        self._total, self._jobs, self._begun = len(todo), jobs, 0
        self._running: dict[Named, float] = {}
        self._start = time.monotonic()
        self._spent = 0.0

    def begin(self, cell: Cell) -> str:
        """Count a cell as begun; what is said of it."""
        self._begun += 1
        line = f"cell {self._begun} of {self._total}: {title(cell)}; {self._times()}"
        self._running[named(cell)] = time.monotonic()
        return line

    def done(self, cell: Cell, seconds: float) -> None:
        """Count a cell as done."""
        self._running.pop(named(cell), None)
        self._left.discard(named(cell))
        self._spent += seconds

    def whole(self) -> str:
        """One line about all cells."""
        return f"{self._total - len(self._left)} of {self._total} cells done; {self._times()}"

    def elapsed(self, cell: Cell) -> float:
        """Seconds since a cell was begun."""
        return time.monotonic() - self._running[named(cell)]

    def _times(self) -> str:
        gone = clock(time.monotonic() - self._start)
        left = self.seconds_left()
        told = "time left not known" if left is None else f"about {clock(left)} left"
        return f"{gone} gone, {told}"

    def seconds_left(self) -> float | None:
        """Seconds until all is done, at the mean pace of the cells that are; ``None`` before."""
        done = self._total - len(self._left)
        if not done:
            return None
        now, each = time.monotonic(), self._spent / done
        left = sum(
            max(0.0, each - (now - self._running[name] if name in self._running else 0.0))
            for name in self._left
        )
        return left / max(1, min(self._jobs, len(self._left)))
