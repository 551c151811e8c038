import pytest

from distill.tracking.metrics_csv import COLUMNS, MetricsCsv


def cells(path):
    """Every row without its seconds."""
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    return [tuple(line.split(",")[:-1]) for line in lines[1:]]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "run" / "metrics.csv"
    first = MetricsCsv(path, stage="first")
    first.go_on(0)
    first.log_metrics({"epoch": 0.5, "loss": 0.1, "lr": 1e-5}, step=20)
    second = MetricsCsv(path, stage="second")
    second.go_on(0)
    second.log_metrics({"epoch": 1, "loss": 1 / 3}, step=20)
    second.log_metrics({"epoch": 1.0, "validation/accuracy": 0.5}, step=20)
    second.log_metrics({"loss": 0.25}, step=40)
    return path


FIRST = [("first", "20", "0.5", "loss", "0.1"), ("first", "20", "0.5", "lr", "1e-05")]
LOSS = ("second", "20", "1", "loss", "0.3333333333333333")
SCORE = ("second", "20", "1", "validation/accuracy", "0.5")
LATER = ("second", "40", "", "loss", "0.25")


def test_rows_are_long_and_exact(path):
    assert cells(path) == [*FIRST, LOSS, SCORE, LATER]
    assert float(path.read_text().splitlines()[-1].split(",")[-1]) >= 0


@pytest.mark.parametrize(
    ("step", "scored", "kept"),
    [
        (40, True, [LOSS, SCORE, LATER]),
        (20, True, [LOSS, SCORE]),
        (20, False, [LOSS]),
        (10, True, []),
        (0, True, []),
    ],
)
def test_going_on_drops_what_will_be_written_again(path, step, scored, kept):
    again = MetricsCsv(path, stage="second")
    again.go_on(step, seconds=100.0, scored=scored)
    assert cells(path) == [*FIRST, *kept]
    again.log_metrics({"loss": 0.5}, step=60)
    assert cells(path)[-1] == ("second", "60", "", "loss", "0.5")
    assert 100 <= float(path.read_text().splitlines()[-1].split(",")[-1]) < 200


def test_a_row_torn_by_a_kill_is_dropped(path):
    content = path.read_text()
    path.write_text(content + "second,60,1,lo")
    MetricsCsv(path, stage="second").go_on(40)
    assert path.read_text() == content


def test_a_file_with_nothing_to_drop_is_left_alone(path):
    before = path.stat().st_mtime_ns
    MetricsCsv(path, stage="second").go_on(40)
    assert path.stat().st_mtime_ns == before
    MetricsCsv(path.with_name("new.csv"), stage="second").go_on(0)
    assert not path.with_name("new.csv").exists()
