"""Jobs over files: streamed, and after a kill the same bytes as if there had been none."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from distill.runtime import job as jobs
from distill.runtime import progress
from distill.runtime.job import Job, run_job
from distill.runtime.rows import Wanted
from distill.system.errors import DataError

ROWS = 200
WINDOW = 16


@dataclass
class Counting:
    """A model whose answer depends on the rows of its window, as int8 may; dies when told to."""

    manifest: SimpleNamespace
    format: str = "onnx"
    decoder: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(used={}))
    calls: list = field(default_factory=list)
    dies_at: int | None = None

    def predict(self, texts, pairs=None, *, batch_size=None):
        if len(self.calls) == self.dies_at:
            raise KeyboardInterrupt
        self.calls.append(len(texts))
        score = sum(map(len, texts)) / 7
        return [{"label": text[-1], "scores": {"a": score, "b": len(text)}} for text in texts]


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.onnx", "tokenizer.json"):
        (folder / name).write_text(name)
    (folder / "distill.json").write_text('{"labels": ["a"], "numbers": {"ms": 1}}')
    return Counting(SimpleNamespace(folder=folder, formats={"onnx": {"file": "model.onnx"}}))


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    monkeypatch.setattr(jobs, "WINDOW", WINDOW)
    monkeypatch.setattr(progress, "SAVE_SECONDS", 0)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    rows = [{"id": n, "text": f"row {'x' * (n % 9)}{n}"} for n in range(ROWS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def job(source, name="out.jsonl", keep=(), **rest):
    return Job((str(source),), source.parent / "results" / name, Wanted(keep=keep), **rest)


def names(one):
    return sorted(path.name for path in one.out.parent.iterdir())


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
@pytest.mark.parametrize("dies_at", [1, 12])
def test_a_stopped_job_goes_on_to_the_same_bytes(model, source, name, dies_at):
    lines = source.read_text().splitlines(keepends=True)
    lines[10:10] = lines[90:90] = lines[150:150] = ["{broken\n"]
    source.write_text("".join([*lines, "[]\n"]))
    whole = job(source, f"whole-{name}", keep=("id",), skip_bad=True)
    report = run_job(model, whole)
    assert (report.rows, report.bad, report.before) == (ROWS, 4, 0)
    model.calls, model.dies_at = [], dies_at
    parts = job(source, name, keep=("id",), skip_bad=True)
    with pytest.raises(KeyboardInterrupt):
        run_job(model, parts)
    assert not parts.out.exists()
    # What was written after the last safe place does not count.
    with parts.partial.open("ab") as file:
        file.write(b"half a li")
    model.calls, model.dies_at = [], None
    seen = []
    again = Job(**{**vars(parts), "resume": True})
    report = run_job(model, again, moved=lambda rows, about: seen.append((rows, about)))
    read = dies_at * WINDOW
    before = read - sum(place < read for place in (10, 90, 150))
    assert (report.rows, report.bad, report.before) == (ROWS, 4, before)
    assert sum(model.calls) == ROWS - before
    assert seen[0] == (before, ROWS + 4)
    assert seen[-1] == (ROWS, ROWS + 4)
    assert parts.out.read_bytes() == whole.out.read_bytes()
    assert parts.bad.read_text() == whole.bad.read_text()
    bad = [json.loads(line) for line in whole.bad.read_text().splitlines()]
    assert [row["place"] for row in bad] == [f"{source}:{n}" for n in (11, 91, 151, ROWS + 4)]
    assert bad[0]["row"] == "{broken"
    assert not [name for name in names(parts) if "partial" in name]


def test_a_kill_between_the_renames(model, source, monkeypatch):
    source.write_text(source.read_text() + "[]\n")
    one = job(source, skip_bad=True, resume=True)
    monkeypatch.setattr(jobs, "take_place", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_job(model, one)
    assert names(one) == ["out.bad.jsonl.partial", "out.jsonl.partial", "out.jsonl.partial.json"]
    one.bad_partial.replace(one.bad)
    monkeypatch.undo()
    monkeypatch.setattr(jobs, "WINDOW", WINDOW)
    model.calls = []
    report = run_job(model, one)
    assert (report.rows, report.bad, model.calls) == (ROWS, 1, [])
    assert names(one) == ["out.bad.jsonl", "out.jsonl"]


@pytest.fixture
def stopped(model, source):
    """A job that was stopped after two windows."""
    model.dies_at = 2
    one = job(source)
    with pytest.raises(KeyboardInterrupt):
        run_job(model, one)
    model.calls, model.dies_at = [], None
    return one


def issue(model, one, **changes):
    with pytest.raises(DataError) as error:
        run_job(model, Job(**{**vars(one), "resume": True, **changes}))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_unfinished_job_is_not_thrown_away_unasked(model, stopped):
    assert issue(model, stopped, resume=False) == (
        f"{stopped.partial}: an unfinished job, 32 rows done; go on with --resume, or remove "
        "out.jsonl.partial.json to begin anew"
    )
    stopped.state.unlink()
    assert run_job(model, stopped).before == 0


def test_a_job_goes_on_only_with_what_it_was_begun_with(model, stopped, source):
    assert "other settings (keep [], now ['id']); give the same" in issue(
        model, stopped, wanted=Wanted(keep=("id",))
    )
    text = source.read_text()
    source.write_text(text.replace("row", "raw", 1))
    assert "begun with another input than this one" in issue(model, stopped)
    source.write_text(text)
    manifest = model.manifest.folder / "distill.json"
    manifest.write_text('{"labels": ["a"], "numbers": {"ms": 2}}')  # measured again: no matter
    (model.manifest.folder / "model.onnx").write_text("other weights")
    assert "begun with another bundle than this one" in issue(model, stopped)
    (model.manifest.folder / "model.onnx").write_text("model.onnx")
    stopped.partial.write_bytes(b"")
    assert "shorter than it was" in issue(model, stopped)
    stopped.state.write_text("{")
    assert "cannot be read" in issue(model, stopped)


def test_two_processes_do_not_write_the_same_results(model, source):
    one = job(source)
    with progress.held(one.partial):
        assert "another process is writing it" in issue(model, one)


def test_a_bad_row_stops_with_its_line_and_what_is_done_is_kept(model, source):
    lines = source.read_text().splitlines(keepends=True)
    one = job(source)
    source.write_text("".join([*lines[:3], '{"text": 5}\n', *lines[3:]]))
    assert issue(model, one) == (
        f"{source}:4: 'text' is 5, not a text; or set bad rows aside: --on-bad-row skip"
    )
    assert names(one) == []
    source.write_text("".join([*lines[:40], '{"text": 5}\n', *lines[40:]]))
    assert issue(model, one).endswith(": --on-bad-row skip --resume")
    report = run_job(model, Job(**{**vars(one), "resume": True, "skip_bad": True}))
    assert (report.rows, report.before, report.bad) == (ROWS, 32, 1)
    # A later job without bad rows leaves no file that tells of others.
    source.write_text("".join(lines))
    run_job(model, job(source, skip_bad=True))
    assert names(one) == ["out.jsonl"]


def test_more_than_half_bad_are_refused(model, source):
    one = job(source, skip_bad=True)
    source.write_text("[]\n" * 3 + source.read_text().splitlines()[0] + "\n")
    assert f"{source}: 3 of 4 rows are bad, more than half; is it the right file" in issue(
        model, one
    )
    source.write_text("[]\n" * 2000)
    assert f"The first: {source}:1: list instead of an object" in issue(model, one)


def test_the_input_is_never_overwritten(model, source):
    with pytest.raises(DataError, match="is the input too"):
        run_job(model, Job((str(source),), out=source))
    with pytest.raises(DataError, match="standard input cannot be read again"):
        run_job(model, Job(("-",), out=source.parent / "out.jsonl", resume=True))
