"""``distill augment``: try a recipe's augmentation without a run."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distill.cli import options
from distill.recipe.loader import load_recipe
from distill.recipe.schema import AugmentStage, Recipe
from distill.system.errors import UserError

if TYPE_CHECKING:
    from distill.stages.augment import Tally

_SHOWN = 3


def augment(
    recipe: options.Recipe,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Settings such as stages.augment.copies=5.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the examples to this file, as gzipped JSON lines.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many training examples, drawn by the seed.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make the rows that a recipe's augment stage would make, and show a few.

    A recipe without such a stage is augmented with its defaults. No teacher is asked, so
    `teacher_agreement` drops nothing here. Of several seeds the first is taken.

    Example:
      distill augment quickstart --limit 200
      distill augment mine.yaml stages.augment.copies=5 --out rows.jsonl.gz
    """
    words = list(overrides or [])
    loaded = load_recipe(recipe, *words, *([f"data.limit_train={limit}"] if limit else []))
    if loaded.seeds is not None:
        loaded = loaded.with_seed(loaded.seeds[0])
    if loaded.task.learns_text:
        raise UserError(f"{recipe}: learns from unlabelled text, which is not augmented")
    facts, tally = _augmented(loaded, out)
    if as_json:
        options.print_json(facts)
        return
    for example in tally.examples()[:_SHOWN]:
        typer.echo(_line(example))
        for new in example["augmented"]:
            typer.echo(f"  -> {_line(new)}")
    for note in facts["notes"]:
        typer.echo(note)
    if out is not None:
        typer.echo(f"rows: {out}")
    typer.echo(f"next: {shlex.join(['distill', 'plan', recipe, *words])}")


def _augmented(recipe: Recipe, out: Path | None) -> tuple[dict[str, Any], Tally]:
    from distill.data.augmentation.generate import augment as made_from
    from distill.data.augmentation.generate import write_rows
    from distill.stages.augment import Tally, facts_of
    from distill.stages.augmenter import check_source, find_candidates, method_of
    from distill.stages.workspace import Workspace

    config = _stage(recipe)
    check_source(config, recipe)
    workspace, start = Workspace(recipe), time.monotonic()
    split = workspace.data.train
    candidates, found = find_candidates(config, recipe, split, tokenizer=workspace.tokenizer)
    tally = Tally(split)
    rows = tally.show(tally.count(made_from(split, candidates, method_of(config, recipe))))
    if out is None:
        for _ in rows:
            pass
    else:
        write_rows(out, rows, split, workspace.data.labels)
    return facts_of(found, tally, seconds=time.monotonic() - start), tally


def _stage(recipe: Recipe) -> AugmentStage:
    stages = (stage for stage in recipe.stages if isinstance(stage, AugmentStage))
    return next(stages, AugmentStage(kind="augment"))


def _line(row: dict[str, Any]) -> str:
    return " | ".join(" ".join(row[key].split()) for key in ("text", "text_pair") if key in row)
