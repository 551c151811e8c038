"""``distill fit-head``: a classifier on frozen sentence vectors; needs no torch."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from distill.system.errors import ModelError

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
