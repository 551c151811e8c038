"""``distill fit-head`` and ``summarise``: what a sentence encoder's vectors are good for."""

from __future__ import annotations

import gzip
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from distill.files.lines import NOT_GZIP, not_gzip
from distill.system.errors import DataError, ModelError

logger = logging.getLogger("distill")


def fit_head(
    bundle: Annotated[Path, typer.Argument(help="A sentence encoder's bundle, or its run.")],
    data: Annotated[
        str, typer.Option(help="Rows with labels: csv, tsv, jsonl (.gz), parquet or a folder.")
    ],
    out: Annotated[Path, typer.Option(help="The new bundle; one that is there is replaced.")],
    validation: Annotated[
        str | None, typer.Option(help="Rows to score; else a tenth of the others is held out.")
    ] = None,
    column: Annotated[str, typer.Option(help="The column with the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column with the label.")] = "label",
    label: Annotated[
        list[str] | None, typer.Option(help="A label's name, where they are integers; in order.")
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(min=0, help="Inverse strength of the regularisation; else it is chosen."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the examples held out.")] = 42,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
) -> None:
    """Fit a logistic regression on a sentence encoder's vectors, and make a bundle that classifies.

    Example:
      distill fit-head runs/stsb-vectors --data train.jsonl --out bundles/trec
      distill predict bundles/trec "Who wrote Emma?"
    """
    # Not at import: `summarise` works where numpy, tokenizers and an engine are all there is.
    from distill.export.head import fit_head_bundle
    from distill.recipe.schema import Columns, DataConfig
    from distill.runtime.manifest import predict_command
    from distill.tasks.classification.config import ClassificationTask
    from distill.tasks.load import load_task_data

    if out.exists() and not (out / "distill.json").is_file():
        raise ModelError(f"{out}: there is something else; name a new folder or a bundle")
    rows = load_task_data(
        DataConfig(
            source="files",
            train=data,
            validation=validation,
            columns=Columns(text=column, label=label_column),
        ),
        ClassificationTask(kind="classification", labels=label or None),
        seed=seed,
    )
    for note in rows.notes:
        logger.info("data: %s", note)
    facts = fit_head_bundle(bundle, out, rows, strength=strength, seed=seed)
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    scores = facts["scores"]["validation"]
    typer.echo(
        f"{out}: {len(facts['labels'])} labels from {facts['rows']:,} rows; validation accuracy "
        f"{scores['accuracy']:.4f}, macro F1 {scores['macro_f1']:.4f}"
    )
    typer.echo(f"next: {predict_command(out)}")


def summarise(
    bundle: Annotated[Path, typer.Argument(help="A sentence encoder's bundle, or its run.")],
    file: Annotated[str, typer.Argument(help="A text file (.gz); - for standard input.")],
    sentences: Annotated[int, typer.Option(min=1, help="How many sentences.")] = 5,
    centrality: Annotated[
        Literal["lexrank", "degree"], typer.Option(help="How sentences are weighed.")
    ] = "lexrank",
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Cosines up to this one do not count.")
    ] = 0.0,
    diversity: Annotated[
        float, typer.Option(min=0, max=1, help="How much repetition counts against a sentence.")
    ] = 0.3,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a sentence, with its place.")
    ] = False,
) -> None:
    """Print the most central sentences of a text, English or Chinese, in their own order.

    Example:
      distill summarise runs/stsb-vectors chapter.txt --sentences 5
    """
    from distill.runtime import load
    from distill.runtime.summary import summarise as summarised

    text = _read(file)
    model = load(bundle)
    if not model.decoder.gives_vectors:
        raise ModelError(
            f"{bundle}: a bundle for {model.manifest.task}; sentences are weighed by a sentence "
            "encoder's vectors (task.kind: vectors)"
        )
    found = summarised(
        model,
        text,
        sentences=sentences,
        centrality=centrality,
        threshold=threshold,
        diversity=diversity,
    )
    for one in found:
        typer.echo(json.dumps(asdict(one), ensure_ascii=False) if as_json else one.text)


def _read(file: str) -> str:
    if file == "-":
        raw = sys.stdin.buffer.read()
    else:
        path = Path(file)
        if not path.is_file():
            what = "a folder, not a file" if path.is_dir() else "no such file"
            raise DataError(f"{file}: {what}")
        raw = path.read_bytes()
    try:
        if file.lower().endswith(".gz"):
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 (byte {error.start + 1}); convert the file") from error
    except NOT_GZIP as error:
        raise not_gzip(file, error) from error
