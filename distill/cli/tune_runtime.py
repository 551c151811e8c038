"""``distill tune-runtime``: measure how a bundle is served fastest on this machine."""

from __future__ import annotations

import itertools
import sys
from typing import Annotated, Any

import typer

from distill.cli import options
from distill.report import numbers
from distill.system.errors import DataError

_ROWS = 2000  # read from a file; lengths of real rows are what matters


def tune_runtime(
    folder: options.Bundle,
    rows: Annotated[
        str | None,
        typer.Option(help="A .jsonl, .csv, .tsv (.gz) or one text a line with real inputs."),
    ] = None,
    column: options.Column = None,
    pair_column: options.PairColumn = None,
    delimiter: options.Delimiter = None,
    cores: Annotated[
        int | None, typer.Option(min=1, help="Physical cores to use; else all of them.")
    ] = None,
    format: Annotated[
        list[str] | None, typer.Option(help="Measure this format only; may be repeated.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Measure engines, threads, fusions and batches for a bundle, and write the choice into it.

    Predictions use the choice from then on, unless a format or threads are asked for. Without
    --rows, random tokens stand in, as long as the rows that the bundle was made on.

    Example:
      distill tune-runtime runs/sst2 --rows reviews.jsonl
      distill tune-runtime runs/sst2/bundle --cores 4
    """
    from distill.runtime import load
    from distill.runtime.manifest import predict_command, write_runtime
    from distill.runtime.rows import Wanted, read_rows
    from distill.runtime.tuning import stand_ins, tune

    classifier = load(folder)
    manifest, encoder = classifier.manifest, classifier.encoder
    for name in format or ():
        manifest.file(name)  # raises, saying which formats there are
    found: list[Any]
    if rows is None:
        found = list(stand_ins(manifest, encoder.vocabulary))
    else:
        listed = classifier.decoder.takes_candidates
        wanted = Wanted(column, pair_column, (), delimiter)
        every = read_rows(rows, wanted.of_candidates() if listed else wanted)
        read = list(itertools.islice(every, _ROWS))
        if not read:
            raise DataError(f"{rows}: no examples to measure with")
        if manifest.pair and pair_column is None and not listed:
            raise DataError("this model compares two texts; give the second with --pair-column")
        pairs: list[Any] | None = [row.pair or "" for row in read] if manifest.pair else None
        texts = [row.text for row in read]
        found = list(classifier.decoder.inputs(encoder, texts, pairs).rows)
    chosen = tune(manifest, encoder, found, cores=cores, formats=format, progress=_print_progress)
    write_runtime(manifest.folder, chosen)
    if as_json:
        options.print_json(chosen)
        return
    for line in _lines(chosen):
        typer.echo(line)
    typer.echo(f"written to {manifest.folder / 'distill.json'}")
    typer.echo(f"next: {predict_command(manifest.folder)}")


def _print_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<40}", end="" if "of" in text else "\n", file=sys.stderr, flush=True)


def _lines(chosen: dict[str, Any]) -> list[str]:
    single = sorted(chosen["measured"]["latency_ms"], key=lambda entry: entry["ms"])
    key = "examples_per_second"
    many = sorted(chosen["measured"][key], key=lambda entry: -entry[key])
    lines = [f"single examples (median length {chosen['median_length']}), ms:"]
    lines += [f"  {entry['ms']:8.3f}  {_settings(entry)}" for entry in single]
    lines += [f"many examples ({chosen['rows']}), examples per second:"]
    lines += [f"  {entry[key]:8.0f}  {_settings(entry)}" for entry in many]
    lines.append(f"chosen for single examples: {_settings(chosen['latency'])}")
    lines.append(f"chosen for many examples: {_settings(chosen['throughput'])}")
    return lines


def _settings(entry: dict[str, Any]) -> str:
    words = [entry["format"], numbers.counted(entry["threads"], "thread")]
    if entry.get("disabled_optimizers"):
        words.append(f"without {', '.join(entry['disabled_optimizers'])}")
    if "instances" in entry:
        words += [
            numbers.counted(entry["instances"], "instance"),
            f"batches of {entry['batch_size']}",
            f"lengths in steps of {entry['padding_multiple']}",
        ]
    return ", ".join(words)
