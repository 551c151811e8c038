import logging

from distill.console import Bar, clock, track


def test_clock():
    assert [clock(s) for s in (0, 59.6, 61, 3723)] == ["0:00", "1:00", "1:01", "1:02:03"]


def test_a_plain_line_tells_counts_share_eta_and_status():
    bar = Bar("prediction", 200, done=100)
    with bar:
        bar.advance(50, "loss 0.5")
        assert bar.line(bar._start + 10) == "prediction: 150/200 (75%), ETA 0:10, loss 0.5"


def test_lines_come_at_intervals_off_a_terminal(monkeypatch, caplog):
    monkeypatch.setattr("distill.console._PLAIN_SECONDS", 0.0)
    with caplog.at_level(logging.INFO, logger="distill"):
        assert list(track("abc", "reading", 3)) == ["a", "b", "c"]
    assert [r.message.split(",")[0] for r in caplog.records] == [
        "reading: 1/3 (33%)",
        "reading: 2/3 (67%)",
        "reading: 3/3 (100%)",
    ]
