"""``distill predict``: a bundle's predictions for texts; needs no torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distill.cli import options
from distill.cli.predict_files import Source, Target, cut, run
from distill.system.errors import DataError

if TYPE_CHECKING:
    from distill.runtime import BundleModel
    from distill.runtime.rows import Row


_Texts = Annotated[list[str] | None, typer.Argument(help="Texts to predict for.")]
_Pair = Annotated[
    list[str] | None,
    typer.Option(help="The second text, for models of pairs: once a text, or several of one."),
]
_File = Annotated[
    list[str] | None,
    typer.Option(
        help="A .parquet, .jsonl, .csv, .tsv (.gz) or one text a line; - for standard input; a "
        "folder, or a pattern in quotes ('part-*.parquet'); may be given several times."
    ),
]
_Out = Annotated[
    Path | None,
    typer.Option(
        help="Write to this file (.csv, .tsv, .parquet, else JSON lines) instead of printing; with "
        "--shards a folder."
    ),
]
_Npy = Annotated[
    Path | None, typer.Option(help="Write the vectors of a --file there, as one NumPy array.")
]
_Shards = Annotated[
    int | None,
    typer.Option(min=1, help="Cut the results into so many files; processes may share them."),
]
_Shard = Annotated[str | None, typer.Option(help="Do one of n shards only: 0/n, 1/n, ... (n-1)/n.")]
_OutFormat = Annotated[
    str | None,
    typer.Option(help="Of shards: jsonl, csv, tsv or parquet; else as the first --file."),
]
_Keep = Annotated[
    str | None, typer.Option(help="Columns of the file to carry along: id,source,...")
]
_NoText = Annotated[bool, typer.Option("--no-text", help="Leave the texts out of the --out file.")]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an --out file that was not finished.")
]
_OnBadRow = Annotated[
    str, typer.Option(help="refuse: stop with its line; skip: set it aside in OUT.bad.jsonl.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
_BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Texts computed at once; else the tuned number or 32.")
]
_Format = Annotated[
    str | None,
    typer.Option(help="onnx-int8, onnx, openvino-int8, ...; else the bundle's default."),
]
_Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; else the tuned number or all cores.")
]
_Dim = Annotated[
    int | None, typer.Option(min=1, help="Cut vectors to their first so many dimensions.")
]
_Prompt = Annotated[
    str | None, typer.Option(help="Of a sentence encoder with prompts: query, passage, or ''.")
]


def predict(
    folder: options.Bundle,
    texts: _Texts = None,
    pair: _Pair = None,
    file: _File = None,
    column: options.Column = None,
    pair_column: options.PairColumn = None,
    delimiter: options.Delimiter = None,
    out: _Out = None,
    npy: _Npy = None,
    shards: _Shards = None,
    shard: _Shard = None,
    out_format: _OutFormat = None,
    keep: _Keep = None,
    no_text: _NoText = False,
    resume: _Resume = False,
    on_bad_row: _OnBadRow = "refuse",
    as_json: _AsJson = False,
    batch_size: _BatchSize = None,
    format: _Format = None,
    threads: _Threads = None,
    dim: _Dim = None,
    prompt: _Prompt = None,
) -> None:
    """Predict for texts, given on the command line or in files: labels, or what the task is.

    Example:
      distill predict runs/sst2 "a fine film" "what a waste of time"
      distill predict runs/mrpc "It rained all day." --pair "Rain fell." --pair "It is dry."
      distill predict runs/sst2 --file reviews.jsonl --out labelled.jsonl
      distill predict runs/sst2 --file reviews.csv --out labelled.csv --keep id --resume
      distill predict runs/sst2 --file 'part-*.parquet' --out labelled --shards 100
      distill predict runs/stsb-vectors --file sentences.txt --npy vectors.npy --dim 128
    """
    from distill.runtime import load
    from distill.runtime.inputs import find_files
    from distill.runtime.job import Job
    from distill.runtime.rows import Wanted

    kept = tuple(name.strip() for name in (keep or "").split(",") if name.strip())
    source = Source(find_files(file or ()), Wanted(column, pair_column, kept, delimiter))
    target = Target(out, npy, cut(shards, shard), out_format)
    given = {
        "--keep": bool(keep), "--no-text": no_text, "--resume": resume,
        "--on-bad-row skip": _skips(on_bad_row),
    }  # fmt: skip
    target.check(given, from_file=bool(source.files))
    model = load(folder, format=format, threads=threads, dim=dim, prompt=prompt)
    if model.decoder.takes_candidates:
        source = source.of_candidates()
    answers = _Answers(model, batch_size, as_json=as_json)
    # A pipe is answered before it is waited on; of a file as many examples as make full batches.
    waits = source.files == ("-",) and target.path is None
    rows = source.rows(texts, pair, answers.print if waits else None)
    _check_pairs(model, given=bool(pair or source.wanted.pair_column), from_file=bool(source.files))
    if target.path is not None and source.files:
        job = Job(
            source.files, target.path, source.wanted, texts=not no_text, batch_size=batch_size,
            threads=threads, vectors=npy is not None, skip_bad=given["--on-bad-row skip"],
            resume=resume,
        )  # fmt: skip
        run(model, job, target)
    elif out is not None:
        _write_few(out, _predictions(model, list(rows), batch_size), texts=not no_text)
    else:
        for row in rows:
            answers.add(row)
        answers.print()


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


def _write_few(out: Path, predictions: list[tuple[Row, dict[str, Any]]], *, texts: bool) -> None:
    from distill.runtime.results import Lines
    from distill.system import atomic

    rows, found = [row for row, _ in predictions], [one for _, one in predictions]
    atomic.write_bytes(out, Lines(out, texts=texts).lines(rows, found))
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
    pairs: list[Any] | None = [row.pair or "" for row in rows] if model.manifest.pair else None
    predictions = model.predict([row.text for row in rows], pairs, batch_size=batch_size)
    return list(zip(rows, predictions, strict=True))


def _json_line(row: Row, prediction: dict[str, Any]) -> str:
    pair = {"pair": row.pair} if isinstance(row.pair, str) else {}
    return json.dumps({"text": row.text, **pair, **prediction}, ensure_ascii=False)


def _plain_line(model: BundleModel, row: Row, prediction: dict[str, Any]) -> str:
    if isinstance(row.pair, list):
        return f"{' '.join(row.text.split())}\n{model.decoder.line(prediction)}"
    text = row.text if row.pair is None else f"{row.text} | {row.pair}"
    # One line a row, whatever the text holds.
    return f"{model.decoder.line(prediction)}  {' '.join(text.split())}"
