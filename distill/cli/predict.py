"""``distill predict``: a bundle's predictions for texts; needs no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from distill.cli import options

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
    Literal["refuse", "skip"],
    typer.Option(help="refuse: stop with its line; skip: set it aside in OUT.bad.jsonl."),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
_BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Texts computed at once; else the tuned number or 32.")
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
    format: options.Format = None,
    threads: options.Threads = None,
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
    from distill.cli import predictions
    from distill.runtime import load
    from distill.runtime.inputs import find_files
    from distill.runtime.job import Job
    from distill.runtime.rows import Wanted

    source = predictions.Source(
        find_files(file or ()), Wanted(column, pair_column, tuple(options.listed(keep)), delimiter)
    )
    target = predictions.Target(out, npy, predictions.cut(shards, shard), out_format)
    given = {
        "--keep": bool(keep), "--no-text": no_text, "--resume": resume,
        "--on-bad-row skip": on_bad_row == "skip",
    }  # fmt: skip
    target.check(given, from_file=bool(source.files))
    model = load(folder, format=format, threads=threads, dim=dim, prompt=prompt)
    if model.decoder.takes_candidates:
        source = source.of_candidates()
    answers = predictions.Answers(model, batch_size, as_json=as_json)
    # A pipe is answered before it is waited on; of a file as many examples as make full batches.
    waits = source.files == ("-",) and target.path is None
    rows = source.rows(texts, pair, answers.print if waits else None)
    paired = bool(pair or source.wanted.pair_column)
    predictions.check_pairs(model, given=paired, from_file=bool(source.files))
    if target.path is not None and source.files:
        job = Job(
            source.files, target.path, source.wanted, texts=not no_text, batch_size=batch_size,
            threads=threads, vectors=npy is not None, skip_bad=given["--on-bad-row skip"],
            resume=resume,
        )  # fmt: skip
        predictions.run(model, job, target)
    elif out is not None:
        answers.write(list(rows), out, texts=not no_text)
    else:
        for row in rows:
            answers.add(row)
        answers.print()
