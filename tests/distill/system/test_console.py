import io

import pytest
from rich.console import Console

from distill.system.console import Bar, clock


def test_clock():
    assert [clock(s) for s in (0, 59.6, 61, 3723)] == ["0:00", "1:00", "1:01", "1:02:03"]


class Clock:
    """A clock that goes on by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("distill.system.console.time.monotonic", lambda: self.now)

    def steps(self, bar: Bar, count: int, seconds: float) -> None:
        for _ in range(count):
            self.now += seconds
            bar.advance()


def eta(bar: Bar) -> str:
    return bar.line().partition("ETA ")[2].partition(",")[0]


def test_a_plain_line_has_counts_share_eta_and_status(monkeypatch):
    clock = Clock(monkeypatch)
    with Bar("prediction", 200, done=100) as bar:
        clock.steps(bar, 49, 1.0)
        clock.now += 1
        bar.advance(status="loss 0.5")
        assert bar.line() == "prediction: 150/200 (75%), ETA 0:50, loss 0.5"


def test_there_is_no_eta_before_it_means_something(monkeypatch):
    """A training of 242 s: its first step takes 8 s and each of the other 480 half a second."""
    clock = Clock(monkeypatch)
    with Bar("teacher", 481) as bar:
        assert eta(bar) == "?"
        clock.steps(bar, 1, 8.0)
        assert (eta(bar), bar.seconds_left()) == ("?", None)  # from it alone: 1:04:00
        clock.steps(bar, 9, 0.5)
        assert eta(bar) == "?"
        clock.steps(bar, 1, 0.5)
        assert eta(bar) == "3:55"  # 470 steps
        clock.steps(bar, 470, 0.5)
        assert eta(bar) == "0:00"


def test_the_bar_of_a_terminal_has_the_same_eta(monkeypatch):
    clock = Clock(monkeypatch)
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr("distill.system.console.stderr", screen)
    with Bar("teacher", 481) as bar:
        clock.steps(bar, 10, 0.5)
        bar._rich.refresh()
        clock.steps(bar, 1, 0.5)
        bar._rich.refresh()
    shown = screen.file.getvalue()
    assert "10/481" in shown
    assert shown.index("ETA ?") < shown.index("ETA 3:55")
