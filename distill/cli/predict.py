"""``distill predict``: a bundle's predictions for texts; needs no torch."""

from __future__ import annotations

import itertools
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distill.cli import options
from distill.system.errors import DataError

if TYPE_CHECKING:
    from distill.runtime import BundleModel
    from distill.runtime.job import Job
    from distill.runtime.rows import Row


def predict(
    folder: options.Bundle,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to predict for.")] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(help="The second text, for models of pairs: once a text, or several of one."),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(help="A .jsonl, .csv, .tsv (.gz) or one text a line; - for standard input."),
    ] = None,
    column: options.Column = None,
    pair_column: options.PairColumn = None,
    delimiter: options.Delimiter = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write to this file (.csv, else JSON lines) instead of printing."),
    ] = None,
    npy: Annotated[
        Path | None,
        typer.Option(help="Write the vectors of a --file there, as one NumPy array."),
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="Columns of the file to carry along: id,source,...")
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Leave the texts out of the --out file.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an --out file that was not finished.")
    ] = False,
    on_bad_row: Annotated[
        str,
        typer.Option(help="refuse: stop with its line; skip: set it aside in OUT.bad.jsonl."),
    ] = "refuse",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Texts computed at once; else the tuned number or 32.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="onnx-int8, onnx, openvino-int8, ...; else the bundle's default."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; else the tuned number or all cores.")
    ] = None,
) -> None:
    """Predict for texts, given on the command line or in a file: labels, or what the task is.

    Example:
      distill predict runs/sst2 "a fine film" "what a waste of time"
      distill predict runs/mrpc "It rained all day." --pair "Rain fell." --pair "It is dry."
      distill predict runs/sst2 --file reviews.jsonl --out labelled.jsonl
      distill predict runs/sst2 --file reviews.csv --out labelled.csv --keep id --resume
      distill predict runs/stsb-vectors --file sentences.txt --npy vectors.npy
    """
    from distill.runtime import load

    target = _target(out, npy)
    source = _Source(file, column, pair_column, delimiter)
    given = {
        "--keep": bool(keep), "--no-text": no_text, "--resume": resume,
        "--on-bad-row skip": _skips(on_bad_row),
    }  # fmt: skip
    _check_options(given, file=file, target=target, npy=npy)
    model = load(folder, format=format, threads=threads)
    answers = _Answers(model, batch_size, as_json=as_json)
    # A pipe is answered before it is waited on; of a file as many rows as make full batches.
    rows = source.rows(texts, pair, answers.print if file == "-" and out is None else None)
    _check_pairs(model, given=bool(pair or pair_column), from_file=file is not None)
    if target is not None and file is not None:
        from distill.runtime.job import Job

        job = Job(
            source=file,
            out=target,
            column=column,
            pair_column=pair_column,
            delimiter=delimiter,
            keep=tuple(name.strip() for name in (keep or "").split(",") if name.strip()),
            texts=not no_text,
            batch_size=batch_size,
            threads=threads,
            vectors=npy is not None,
            skip_bad=given["--on-bad-row skip"],
            resume=resume,
        )
        _run(model, job)
    elif out is not None:
        _write_few(out, _predictions(model, list(rows), batch_size), texts=not no_text)
    else:
        for row in rows:
            answers.add(row)
        answers.print()


def _check_options(
    given: Mapping[str, bool], *, file: str | None, target: Path | None, npy: Path | None
) -> None:
    """Refuse options that do nothing without another one."""
    if target is None and any(given.values()):
        raise DataError("--keep, --no-text, --resume and --on-bad-row skip need an --out FILE")
    if npy is not None and (given["--keep"] or given["--no-text"]):
        raise DataError("--npy holds vectors and nothing else; leave --keep and --no-text out")
    if file is None and (given["--keep"] or given["--resume"] or npy):
        raise DataError("--keep, --resume and --npy need a --file")


@dataclass(frozen=True)
class _Source:
    """Where rows come from: a file with its columns, or the command line."""

    file: str | None
    column: str | None
    pair_column: str | None
    delimiter: str | None

    def rows(
        self,
        texts: list[str] | None,
        pairs: list[str] | None,
        before_read: Callable[[], None] | None,
    ) -> Iterator[Row]:
        """The rows; errors of the command line are raised at once."""
        from distill.runtime.rows import Row, read_rows

        if self.file is not None:
            if texts or pairs:
                raise DataError("give texts on the command line or a --file, not both")
            return read_rows(
                self.file,
                column=self.column,
                pair_column=self.pair_column,
                delimiter=self.delimiter,
                on_note=_print_note,
                before_read=before_read,
            )
        if not texts:
            raise DataError(
                "nothing to predict; give texts in quotes, or --file FILE (- for stdin)"
            )
        if self.column or self.pair_column or self.delimiter:
            raise DataError(
                "--column, --pair-column and --delimiter are for a --file; there is none"
            )
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


class _Answers:
    """Predictions that are printed once enough rows for full batches have come, or when asked."""

    def __init__(self, model: BundleModel, batch_size: int | None, *, as_json: bool) -> None:
        self.model, self.batch_size, self.as_json = model, batch_size, as_json
        self.waiting: list[Row] = []

    def add(self, row: Row) -> None:
        from distill.runtime.job import WINDOW

        self.waiting.append(row)
        if len(self.waiting) == WINDOW:
            self.print()

    def print(self) -> None:
        """Predict for the rows that have come."""
        if not self.waiting:
            return
        for row, found in _predictions(self.model, self.waiting, self.batch_size):
            line = _json_line(row, found) if self.as_json else _plain_line(self.model, row, found)
            typer.echo(line)
        self.waiting.clear()


def _skips(on_bad_row: str) -> bool:
    if on_bad_row not in ("refuse", "skip"):
        raise DataError(f"--on-bad-row {on_bad_row}: refuse or skip")
    return on_bad_row == "skip"


def _target(out: Path | None, npy: Path | None) -> Path | None:
    """The file of results."""
    if out is not None and npy is not None:
        raise DataError("give --out or --npy, not both")
    return out or npy


def _run(model: BundleModel, job: Job) -> None:
    """Predict for a file, with a bar, and print a summary."""
    from distill.runtime.job import run_job
    from distill.system.console import Bar, clock

    bar: Bar | None = None
    start, first = time.monotonic(), 0

    def moved(rows: int, about: int | None) -> None:
        nonlocal bar, first
        if bar is None:
            first = rows
            bar = stack.enter_context(Bar("predict", about or rows, rows))
        rate = (rows - first) / max(time.monotonic() - start, 1e-9)
        # The lines of a file are its rows but for blank ones and line ends in cells.
        bar.total = max(bar.total, rows)
        bar.advance(rows - bar.done, f"{rate:,.0f} rows/s")

    with ExitStack() as stack:
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
    print(f"{report.rows} {what} written to {job.out} ({speed})", file=sys.stderr)
    for note in report.notes:
        _print_note(note)
    if report.bad:
        print(f"{report.bad} bad rows set aside in {job.bad}", file=sys.stderr)


def _print_note(note: str) -> None:
    print(note, file=sys.stderr)


def _again() -> str:
    """The command that goes on with this one."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["distill", *words, "--resume"])


def _write_few(out: Path, predictions: list[tuple[Row, dict[str, Any]]], *, texts: bool) -> None:
    """Write the predictions for texts of the command line."""
    from distill.runtime.results import Results
    from distill.system import atomic

    rows, found = [row for row, _ in predictions], [one for _, one in predictions]
    atomic.write_bytes(out, Results(out, texts=texts).lines(rows, found))
    what = "prediction" if len(rows) == 1 else "predictions"
    print(f"{len(rows)} {what} written to {out}", file=sys.stderr)


def _check_pairs(model: BundleModel, *, given: bool, from_file: bool) -> None:
    """Say which option is wrong, before anything is read."""
    option = "--pair-column" if from_file else "--pair"
    if model.manifest.pair and not given:
        raise DataError(f"this model compares two texts; give the second with {option}")
    if given and not model.manifest.pair:
        raise DataError(f"this model takes single texts; leave {option} out")


def _predictions(
    model: BundleModel, rows: list[Row], batch_size: int | None
) -> list[tuple[Row, dict[str, Any]]]:
    pairs = [row.pair or "" for row in rows] if model.manifest.pair else None
    predictions = model.predict([row.text for row in rows], pairs, batch_size=batch_size)
    return list(zip(rows, predictions, strict=True))


def _json_line(row: Row, prediction: dict[str, Any]) -> str:
    pair = {} if row.pair is None else {"pair": row.pair}
    return json.dumps({"text": row.text, **pair, **prediction}, ensure_ascii=False)


def _plain_line(model: BundleModel, row: Row, prediction: dict[str, Any]) -> str:
    text = row.text if row.pair is None else f"{row.text} | {row.pair}"
    # One line a row, whatever the text holds.
    return f"{model.line(prediction)}  {' '.join(text.split())}"
