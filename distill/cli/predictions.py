"""What ``distill predict`` reads, answers and writes: files, shards, the command line."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from distill.files.rows import file_kind
from distill.runtime import BundleModel
from distill.runtime.job import WINDOW, Job, run_job
from distill.runtime.results import Lines
from distill.runtime.rows import Row, Wanted, read_rows
from distill.runtime.shards import Shards, ShardsReport, run_shards
from distill.system import atomic
from distill.system.console import Bar, clock
from distill.system.errors import DataError

#: Formats of shards.
_FORMATS = ("jsonl", "csv", "tsv", "parquet")


def cut(shards: int | None, shard: str | None) -> Shards | None:
    """How the results are cut, where they are."""
    if shard is None:
        return None if shards is None else Shards(shards)
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if match is None:
        raise DataError(f"--shard {shard}: two numbers are expected, such as 0/8")
    only, count = int(match[1]), int(match[2])
    if only >= count:
        some = f"shards are 0/{count} to {count - 1}/{count}" if count else "there are no shards"
        raise DataError(f"--shard {shard}: {some}")
    if shards not in (None, count):
        raise DataError(f"--shard {shard} is one of {count}, but --shards says {shards}")
    return Shards(count, only)


@dataclass(frozen=True)
class Target:
    """Where results go: a file or a folder, or none where they are printed."""

    out: Path | None
    npy: Path | None
    shards: Shards | None
    format: str | None

    @property
    def path(self) -> Path | None:
        return self.out or self.npy

    def suffix(self, first: str) -> str:
        """What shards' names end in."""
        if self.npy is not None:
            return ".npy"
        kind = file_kind(first)
        return f".{self.format}" if self.format else kind if kind[1:] in _FORMATS else ".jsonl"

    def check(self, given: Mapping[str, bool], *, from_file: bool) -> None:
        """Refuse options that do nothing without another one."""
        if self.out is not None and self.npy is not None:
            raise DataError("give --out or --npy, not both")
        if self.path is None and any(given.values()):
            raise DataError("--keep, --no-text, --resume and --on-bad-row skip need an --out FILE")
        if self.npy is not None and (given["--keep"] or given["--no-text"]):
            raise DataError("--npy holds vectors and nothing else; leave --keep and --no-text out")
        if not from_file and (given["--keep"] or given["--resume"] or self.npy):
            raise DataError("--keep, --resume and --npy need a --file")
        if self.shards is None:
            if self.format is not None:
                raise DataError("--out-format is for --shards; of a file the name of --out says it")
            if self.path is not None and self.path.is_dir():
                raise DataError(f"{self.path}: a folder; name a file, or cut it with --shards N")
            return
        if self.path is None or not from_file:
            raise DataError("--shards and --shard need a --file and an --out FOLDER")
        if self.format not in (None, *_FORMATS) or (self.format and self.npy):
            raise DataError(f"--out-format {self.format}: one of {', '.join(_FORMATS)}, with --out")
        if self.path.suffix[1:] in (*_FORMATS, "npy", "gz") and not self.path.is_dir():
            raise DataError(
                f"{self.path}: shards are written into a folder; name one without an ending, and "
                "choose --out-format"
            )


@dataclass(frozen=True)
class Source:
    """Where rows come from: files with their columns, or the command line."""

    files: tuple[str, ...]
    wanted: Wanted

    def of_candidates(self) -> Source:
        wanted = self.wanted
        given = wanted.of_candidates() if self.files else replace(wanted, candidates=True)
        return replace(self, wanted=given)

    def rows(
        self,
        texts: list[str] | None,
        pairs: list[str] | None,
        before_read: Callable[[], None] | None,
    ) -> Iterator[Row]:
        """The rows; errors of the command line are raised at once."""
        if self.files:
            if texts or pairs:
                expanded = bool(texts) and Path(texts[0]).is_file()  # type: ignore[index]
                more = "; put a pattern of files in quotes" if expanded else ""
                raise DataError(f"give texts on the command line or a --file, not both{more}")
            return self._read(before_read)
        if not texts:
            raise DataError(
                "nothing to predict; give texts in quotes, or --file FILE (- for stdin)"
            )
        if self.wanted.column or self.wanted.pair_column or self.wanted.delimiter:
            raise DataError(
                "--column, --pair-column and --delimiter are for a --file; there is none"
            )
        if pairs and self.wanted.candidates:
            if len(texts) > 1:
                raise DataError(
                    "this model puts a query's candidates into an order: give one text, and each "
                    "candidate with --pair; many queries in a --file"
                )
            return iter([Row(texts[0], pairs)])
        if pairs and len(texts) == 1:
            texts = texts * len(pairs)
        if pairs and len(pairs) != len(texts):
            raise DataError(
                f"{len(texts)} texts but {len(pairs)} --pair; give one for each text, or one text "
                "with as many as you like"
            )
        return itertools.starmap(
            Row, zip(texts, pairs or itertools.repeat(None, len(texts)), strict=True)
        )

    def _read(self, before_read: Callable[[], None] | None) -> Iterator[Row]:
        for file in self.files:
            yield from read_rows(file, self.wanted, on_note=_note, before_read=before_read)


def run(model: BundleModel, job: Job, target: Target) -> None:
    """Predict for files, with a bar, and print a summary."""
    with ExitStack() as stack:
        moved = _moved(stack)
        if target.shards is not None:
            suffix = target.suffix(job.sources[0])
            found = run_shards(model, job, target.shards, suffix=suffix, moved=moved)
            report = found.report
        else:
            try:
                report = run_job(model, job, moved=moved)
            except (KeyboardInterrupt, OSError) as stop:
                if job.state.is_file():
                    stop.resume_command = _again()  # type: ignore[union-attr]
                raise
    speed = f"{clock(report.seconds)}, {report.per_second:,.0f} rows/s"
    if report.before:
        speed = f"{report.before:,} of them before; {speed}"
    what = "vectors" if job.vectors else "predictions"
    _note(f"{report.rows} {what} written to {job.out} ({speed})")
    if target.shards is not None:
        _note(_shards_line(found, target.shards))
    for note in report.notes:
        _note(note)
    if report.bad:
        bad = job.bad if target.shards is None else job.out / "_part-*.bad.jsonl"
        _note(f"{report.bad} bad rows set aside in {bad}")


def check_pairs(model: BundleModel, *, given: bool, from_file: bool) -> None:
    """Say which option is wrong, before anything is read."""
    option = "--pair-column" if from_file else "--pair"
    if model.manifest.pair and not given:
        raise DataError(f"this model compares two texts; give the second with {option}")
    if given and not model.manifest.pair:
        raise DataError(f"this model takes single texts; leave {option} out")


class Answers:
    """Predictions that are printed once enough rows for full batches have come, or when asked."""

    def __init__(self, model: BundleModel, batch_size: int | None, *, as_json: bool) -> None:
        self.model, self.batch_size, self.as_json = model, batch_size, as_json
        self.waiting: list[Row] = []

    def add(self, row: Row) -> None:
        self.waiting.append(row)
        if len(self.waiting) == WINDOW:
            self.print()

    def print(self) -> None:
        """Predict for the rows that have come."""
        line = self._json_line if self.as_json else self._plain_line
        if self.waiting:
            for row, found in zip(self.waiting, self._predict(self.waiting), strict=True):
                typer.echo(line(row, found))
        self.waiting.clear()

    def write(self, rows: list[Row], out: Path, *, texts: bool) -> None:
        """Predict for rows of the command line, into a file."""
        atomic.write_bytes(out, Lines(out, texts=texts).lines(rows, self._predict(rows)))
        what = "prediction" if len(rows) == 1 else "predictions"
        _note(f"{len(rows)} {what} written to {out}")

    def _predict(self, rows: list[Row]) -> list[dict[str, Any]]:
        paired = self.model.manifest.pair
        pairs: list[Any] | None = [row.pair or "" for row in rows] if paired else None
        return self.model.predict([row.text for row in rows], pairs, batch_size=self.batch_size)

    def _json_line(self, row: Row, prediction: dict[str, Any]) -> str:
        pair = {"pair": row.pair} if isinstance(row.pair, str) else {}
        return json.dumps({"text": row.text, **pair, **prediction}, ensure_ascii=False)

    def _plain_line(self, row: Row, prediction: dict[str, Any]) -> str:
        line = self.model.decoder.line(prediction)
        if isinstance(row.pair, list):
            return f"{' '.join(row.text.split())}\n{line}"
        text = row.text if row.pair is None else f"{row.text} | {row.pair}"
        # One line a row, whatever the text holds.
        return f"{line}  {' '.join(text.split())}"


def _moved(stack: ExitStack) -> Callable[[int, int | None], None]:
    bar: Bar | None = None
    start, first = time.monotonic(), 0

    def moved(rows: int, about: int | None) -> None:
        nonlocal bar, first
        if bar is None:
            first = rows
            bar = stack.enter_context(Bar("predict", about or rows, rows))
        rate = (rows - first) / max(time.monotonic() - start, 1e-9)
        bar.total = max(bar.total, rows)
        bar.advance(rows - bar.done, f"{rate:,.0f} rows/s")

    return moved


def _shards_line(report: ShardsReport, shards: Shards) -> str:
    line = f"{report.written} of {shards.count} shards written here"
    if report.held:
        line += f"; other processes write {', '.join(map(str, report.held))}"
    return line + (f"; {report.left} are not there yet" if report.left else "; all are there")


def _note(note: str) -> None:
    print(note, file=sys.stderr)


def _again() -> str:
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["distill", *words, "--resume"])
