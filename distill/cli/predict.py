"""``distill predict``: labels for texts, from a bundle; needs no torch."""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from distill.errors import DataError

if TYPE_CHECKING:
    from distill.runtime import BundleModel
    from distill.runtime.rows import Row

# Rows read before they are sorted by length and computed: enough to pad little, few enough that
# the memory does not depend on the file.
_BATCHES_AHEAD = 16
_BATCH_SIZE = 32


def predict(
    folder: Annotated[Path, typer.Argument(help="A bundle, or the folder of a finished run.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts to classify.")] = None,
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
        Path | None, typer.Option(help="Write JSON lines to this file instead of printing.")
    ] = None,
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
    """Predict the label of texts, given on the command line or in a file.

    Example:
      distill predict runs/sst2 "a fine film" "what a waste of time"
      distill predict runs/sst2 --file reviews.jsonl --out labelled.jsonl
    """
    from distill.runtime import load

    rows = _rows(texts, pair, file=file, columns=(column, pair_column))
    model = load(folder, format=format, threads=threads)
    _check_pairs(model, given=bool(pair or pair_column), from_file=file is not None)
    predictions = _predictions(model, rows, batch_size)
    if out is None:
        for row, prediction in predictions:
            if as_json:
                typer.echo(_json_line(row, prediction))
            else:
                typer.echo(_plain_line(model, row, prediction))
        return
    count = 0
    with _written(out) as target:
        for row, prediction in predictions:
            target.write(_json_line(row, prediction) + "\n")
            count += 1
    print(f"{count} predictions written to {out}", file=sys.stderr)


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
    ahead = (batch_size or _BATCH_SIZE) * _BATCHES_AHEAD
    while chunk := list(itertools.islice(rows, ahead)):
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


@contextmanager
def _written(path: Path) -> Iterator[IO[str]]:
    """A file that takes its place when it is whole; written as it comes, not held in memory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
