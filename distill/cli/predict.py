"""``distill predict``: labels for texts, from a bundle; needs no torch."""

from __future__ import annotations

import itertools
import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distill.errors import DataError

if TYPE_CHECKING:
    from distill.runtime import BundleModel
    from distill.runtime.job_files import Job
    from distill.runtime.rows import Row


def predict(
    folder: Annotated[Path, typer.Argument(help="A bundle, or the folder of a finished run.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to predict for.")] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="The second text, for models of pairs; once a text.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(help="A .jsonl, .csv, .tsv (.gz) or one text a line; - for standard input."),
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="The column with the text; else text or sentence.")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="The column with the second text.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write to this file (.csv, else JSON lines) instead of printing."),
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
      distill predict runs/sst2 --file reviews.jsonl --out labelled.jsonl
      distill predict runs/sst2 --file reviews.csv --out labelled.csv --keep id --resume
    """
    from distill.runtime import load

    if on_bad_row not in ("refuse", "skip"):
        raise DataError(f"--on-bad-row {on_bad_row}: refuse or skip")
    if out is None and (keep or no_text or resume or on_bad_row == "skip"):
        raise DataError("--keep, --no-text, --resume and --on-bad-row skip need an --out FILE")
    if file is None and (keep or resume):
        raise DataError("--keep and --resume need a --file")
    rows = _rows(texts, pair, file=file, columns=(column, pair_column))
    model = load(folder, format=format, threads=threads)
    _check_pairs(model, given=bool(pair or pair_column), from_file=file is not None)
    if out is not None and file is not None:
        from distill.runtime.job_files import Job

        job = Job(
            source=file,
            out=out,
            column=column,
            pair_column=pair_column,
            keep=tuple(name.strip() for name in (keep or "").split(",") if name.strip()),
            texts=not no_text,
            batch_size=batch_size,
            threads=threads,
            skip_bad=on_bad_row == "skip",
            resume=resume,
        )
        _run(model, job)
        return
    predictions = _predictions(model, rows, batch_size)
    if out is None:
        for row, prediction in predictions:
            if as_json:
                typer.echo(_json_line(row, prediction))
            else:
                typer.echo(_plain_line(model, row, prediction))
        return
    _write_few(out, list(predictions), texts=not no_text)


def _run(model: BundleModel, job: Job) -> None:
    """Predict for a file, with a bar, and say what came of it."""
    from distill.console import Bar, clock
    from distill.runtime.job import run_job

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
    told = f"{clock(report.seconds)}, {report.per_second:,.0f} rows/s"
    if report.before:
        told = f"{report.before:,} of them before; {told}"
    print(f"{report.rows} predictions written to {job.out} ({told})", file=sys.stderr)
    if report.bad:
        print(f"{report.bad} bad rows set aside in {job.bad}", file=sys.stderr)


def _again() -> str:
    """The command that goes on with this one."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    return shlex.join(["distill", *words, "--resume"])


def _write_few(out: Path, predictions: list[tuple[Row, dict[str, Any]]], *, texts: bool) -> None:
    """Write the predictions for texts of the command line."""
    from distill import atomic
    from distill.runtime.results import Results

    rows, found = [row for row, _ in predictions], [one for _, one in predictions]
    atomic.write_bytes(out, Results(out, texts=texts).lines(rows, found))
    print(f"{len(rows)} predictions written to {out}", file=sys.stderr)


def _rows(
    texts: list[str] | None,
    pairs: list[str] | None,
    *,
    file: str | None,
    columns: tuple[str | None, str | None],
) -> Iterator[Row]:
    from distill.runtime.rows import Row, read_rows

    if file is not None:
        if texts or pairs:
            raise DataError("give texts on the command line or a --file, not both")
        return read_rows(file, column=columns[0], pair_column=columns[1])
    if not texts:
        raise DataError("nothing to predict; give texts in quotes, or --file FILE (- for stdin)")
    if any(columns):
        raise DataError("--column and --pair-column name columns of a --file; there is none")
    if pairs and len(pairs) != len(texts):
        raise DataError(f"{len(texts)} texts but {len(pairs)} --pair; one for each is needed")
    return itertools.starmap(
        Row, zip(texts, pairs or itertools.repeat(None, len(texts)), strict=True)
    )


def _check_pairs(model: BundleModel, *, given: bool, from_file: bool) -> None:
    """Say which option is wrong, before anything is read."""
    option = "--pair-column" if from_file else "--pair"
    if model.manifest.pair and not given:
        raise DataError(f"this model compares two texts; give the second with {option}")
    if given and not model.manifest.pair:
        raise DataError(f"this model takes single texts; leave {option} out")


def _predictions(
    model: BundleModel, rows: Iterator[Row], batch_size: int | None
) -> Iterator[tuple[Row, dict[str, Any]]]:
    from distill.runtime.job_facts import WINDOW

    while chunk := list(itertools.islice(rows, WINDOW)):
        pairs = [row.pair or "" for row in chunk] if model.manifest.pair else None
        texts = [row.text for row in chunk]
        yield from zip(chunk, model.predict(texts, pairs, batch_size=batch_size), strict=True)


def _json_line(row: Row, prediction: dict[str, Any]) -> str:
    pair = {} if row.pair is None else {"pair": row.pair}
    return json.dumps({"text": row.text, **pair, **prediction}, ensure_ascii=False)


def _plain_line(model: BundleModel, row: Row, prediction: dict[str, Any]) -> str:
    text = row.text if row.pair is None else f"{row.text} | {row.pair}"
    # One line a row, whatever the text holds.
    return f"{model.line(prediction)}  {' '.join(text.split())}"
