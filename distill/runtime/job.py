"""Predictions for files of any size: streamed, and gone on with after a kill.

Rows are computed in windows that begin at the same row of the input whether a job was stopped or
not, and whether it does all rows or a shard of them. The results are the same to the byte: what a
model computes may depend on the rows that share its batch.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.files.bad_rows import BadRow
from distill.files.lines import STDIN
from distill.files.parquet import PARQUET
from distill.runtime.inputs import Input, read_inputs
from distill.runtime.manifest import MANIFEST, Manifest
from distill.runtime.progress import MostlyBadError, Progress, held, remove, take_place
from distill.runtime.results import Lines, ParquetResults, Results, VectorFile, column_types, fields
from distill.runtime.rows import Row, Wanted, every_row
from distill.system import digest
from distill.system.errors import DataError

if TYPE_CHECKING:
    from distill.runtime.model import BundleModel

#: Rows that are sorted by length and computed together: enough to pad little, few enough that the
#: memory does not depend on the file.
WINDOW = 1024


@dataclass(frozen=True)
class Job:
    """What is predicted, from where to where."""

    # the input files, in this order, or ``-`` alone for standard input, which cannot be gone on
    # with
    sources: tuple[str, ...]
    # the file of results: ``.csv``, ``.tsv``, ``.parquet``, or JSON Lines; ``.npy`` where
    # ``vectors`` is set
    out: Path
    # what is read of a row; the results carry the kept columns along
    wanted: Wanted = field(default_factory=Wanted)
    texts: bool = True
    batch_size: int | None = None
    threads: int | None = None  # threads that were asked for
    vectors: bool = False  # the results are the rows' vectors alone, as one array
    skip_bad: bool = False  # set rows that cannot be used aside, into ``OUT.bad.jsonl``
    resume: bool = False  # go on with what was begun
    # of a shard, its first row among those of all files, and the one behind its last
    rows: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        more = len(self.sources) - 1
        return self.sources[0] + (f" and {more} more file{'s' * (more > 1)}" if more else "")

    @property
    def partial(self) -> Path:
        return self._beside(self.out.name + ".partial")

    @property
    def state(self) -> Path:
        """How far the results in :attr:`partial` are safe."""
        return self._beside(self.out.name + ".partial.json")

    @property
    def bad(self) -> Path:
        return self._beside(self.out.stem + ".bad.jsonl")

    @property
    def bad_partial(self) -> Path:
        return self.bad.with_name(self.bad.name + ".partial")

    def _beside(self, name: str) -> Path:
        # Who reads a folder of shards passes over names with an underscore.
        return self.out.with_name(name if self.rows is None else f"_{name}")


@dataclass(frozen=True)
class Report:
    """What came of a job."""

    rows: int  # rows with a prediction, those of earlier starts too
    bad: int
    before: int  # rows that were done before this start
    seconds: float
    notes: tuple[str, ...] = ()  # what a reader of the results should know about the input

    @property
    def per_second(self) -> float:
        """Rows per second of this start."""
        return (self.rows - self.before) / max(self.seconds, 1e-9)


def run_job(
    model: BundleModel,
    job: Job,
    *,
    inputs: Sequence[Input] | None = None,
    moved: Callable[[int, int | None], None] = lambda *_: None,
) -> Report:
    """Predict for every row of some files, in their order.

    ``inputs`` are the files, where they have been read; ``moved`` is called with how many examples
    are done, and how many there are, where known.

    Raises:
        DataError: the input cannot be used, is not what the job was begun with, or an unfinished
            job lies at the place of the results; vectors are wanted of a bundle without any.
    """
    results = make_results(model, job)
    check_out(job, job.out)
    if inputs is None and job.sources != (STDIN,):
        inputs = read_inputs(job.sources, job.wanted)
    facts = job_facts(model, job, inputs)
    about = None if inputs is None else sum(one.rows for one in inputs)
    if job.rows is not None:
        about = job.rows[1] - job.rows[0]
    notes: dict[str, None] = {}
    with held(job.partial):
        if job.rows is not None and job.out.exists():  # another process held it until now
            remove(job.partial, job.bad_partial, job.state)
            return Report(0, 0, 0, 0.0)
        progress = Progress(job, results, facts)
        start, before = time.monotonic(), progress.done.rows
        try:
            if not progress.done.whole:
                with progress:
                    moved(before, about)
                    for window, own in _windows(job, inputs, progress, notes.setdefault):
                        _add(model, job, progress, window, own)
                        moved(progress.done.rows, about)
                    progress.finish()
        except BaseException as error:
            # Nothing that would be worth going on with.
            resumable = progress.done.rows and inputs is not None
            if not resumable or isinstance(error, MostlyBadError):
                remove(job.partial, job.bad_partial, job.state)
            raise
        take_place(job, progress.done, results)
    done = progress.done
    return Report(done.rows, done.bad, before, time.monotonic() - start, tuple(notes))


def make_results(model: BundleModel, job: Job) -> Results:
    """What writes the results of a job.

    Raises:
        DataError: a name that no such results can have.
    """
    if job.vectors:
        if not model.decoder.gives_vectors:
            raise DataError(
                f"{model.manifest.folder}: a bundle for {model.manifest.task}, which gives no "
                "vectors; predict into a .jsonl or .csv file"
            )
        return VectorFile(job.out, model)

    parquet = job.out.suffix.lower() == PARQUET

    def blank() -> dict[str, Any]:
        wanted = job.wanted
        pair = None if wanted.pair_column is None else ["a"] if wanted.candidates else "a"
        types = column_types(job.sources, tuple(wanted.keep)) if parquet else {}
        pairs: list[Any] | None = None if pair is None else [pair]
        prediction = model.predict(["a"], pairs)[0]
        row = Row("a", pair, {name: types.get(name) for name in wanted.keep})
        return fields(row, prediction, texts=job.texts, as_json=not parquet)

    if parquet:
        return ParquetResults(texts=job.texts, blank=blank)
    return Lines(job.out, texts=job.texts, blank=blank)


def check_out(job: Job, out: Path) -> None:
    """Refuse to write where the input lies.

    Raises:
        DataError: the results would replace it, or stand among its files.
    """
    for source in job.sources:
        path = Path(source)
        if source == STDIN or not path.exists():
            continue
        if out.is_file() and out.samefile(path):
            raise DataError(f"{out}: is the input too; name another file")
        if out.is_dir() and out.resolve() in path.resolve().parents:
            raise DataError(f"{out}: the input {path.name} lies in it; name another folder")


def job_facts(model: BundleModel, job: Job, inputs: Sequence[Input] | None) -> dict[str, Any]:
    """What must be the same for a job to be gone on with.

    Standard input cannot be read twice: of it there is no ``input``.

    Raises:
        DataError: it is to be gone on with.
    """
    settings = asdict(job) | {"format": model.format, "window": WINDOW}
    settings |= settings.pop("wanted")
    for name in ("sources", "out", "skip_bad", "resume"):
        del settings[name]
    settings |= {"results": job.out.suffix.lower(), **model.decoder.used}
    settings = json.loads(json.dumps(settings))
    facts = {
        "schema": 1,
        "bundle": bundle_digest(model.manifest, model.format),
        "settings": settings,
    }
    if inputs is None:
        if job.resume:
            raise DataError("standard input cannot be read again; --resume needs a --file")
        return facts
    return facts | {"input": [{"bytes": one.bytes, "sha256": one.sha256} for one in inputs]}


def bundle_digest(manifest: Manifest, format: str) -> str:
    """SHA-256 (hex) of what a bundle's predictions depend on; measured numbers do not count."""
    entry = manifest.formats[format]
    files = [manifest.folder / str(one["file"]) for one in (entry, entry.get("weights")) if one]
    files += [manifest.folder / name for name in ("tokenizer.json", "tokenizer_config.json")]
    content = json.loads((manifest.folder / MANIFEST).read_text(encoding="utf-8"))
    kept = {key: value for key, value in content.items() if key not in ("numbers", "formats")}
    return digest.of_json([kept, [digest.of_file(path) for path in files if path.is_file()]])


def _windows(
    job: Job,
    inputs: Sequence[Input] | None,
    progress: Progress,
    on_note: Callable[[str], None],
) -> Iterator[tuple[list[Row | BadRow], slice]]:
    """Windows with rows that are not done yet, and which of their rows these are."""
    start, stop = job.rows or (0, None)
    at = start + progress.done.rows + progress.done.bad
    first = at - at % WINDOW
    rows = _rows(job, inputs, first, on_note)
    while (stop is None or at < stop) and (window := list(itertools.islice(rows, WINDOW))):
        own = slice(at - first, None if stop is None else min(stop - first, WINDOW))
        if not job.skip_bad:
            _refuse_bad(job, window[own], progress)
        yield window, own
        at = first = first + WINDOW


def _rows(
    job: Job, inputs: Sequence[Input] | None, start: int, on_note: Callable[[str], None]
) -> Iterator[Row | BadRow]:
    """The rows of all files, from one of them on; files before it are not read."""
    if inputs is None:
        yield from every_row(STDIN, job.wanted, on_note=on_note)
    for one in inputs or ():
        if start < one.rows:
            yield from every_row(one.file, job.wanted, start=start, on_note=on_note)
        start = max(start - one.rows, 0)


def _refuse_bad(job: Job, rows: Sequence[Row | BadRow], progress: Progress) -> None:
    bad = next((row for row in rows if isinstance(row, BadRow)), None)
    if bad is None:
        return
    hint = "; or set bad rows aside: --on-bad-row skip"
    if job.sources == (STDIN,):
        hint = ""
    elif progress.done.rows and job.rows is None:
        hint += " --resume"
    raise DataError(f"{bad.place}: {bad.reason}{hint}")


def _add(
    model: BundleModel, job: Job, progress: Progress, window: Sequence[Row | BadRow], own: slice
) -> None:
    """Compute a window, whole, and append those rows of it that are this job's own."""
    good = [row for row in window if isinstance(row, Row)]
    found = iter(_computed(model, job, good) if good else ())
    every = [(row, next(found) if isinstance(row, Row) else None) for row in window][own]
    done = [(row, answer) for row, answer in every if isinstance(row, Row)]
    progress.add(done, [row for row, _ in every if isinstance(row, BadRow)])


def _computed(model: BundleModel, job: Job, rows: Sequence[Row]) -> Sequence[Any]:
    texts = [row.text for row in rows]
    if job.vectors:
        return list(model.encode(texts, batch_size=job.batch_size))
    pairs: list[Any] | None = None
    if job.wanted.pair_column is not None:
        pairs = [row.pair or "" for row in rows]
    return model.predict(texts, pairs, batch_size=job.batch_size)
