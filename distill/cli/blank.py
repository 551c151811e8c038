"""``distill blank``: a BERT that has learned nothing, with a vocabulary of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distill.system.errors import quoted


def blank(
    out: Annotated[Path, typer.Argument(help="The new model folder.")],
    text: Annotated[
        list[str] | None, typer.Option(help="Text to learn the vocabulary from; may be repeated.")
    ] = None,
    vocab: Annotated[Path | None, typer.Option(help="A vocab.txt to take instead.")] = None,
    tokens: Annotated[int, typer.Option(min=100, help="Entries of the vocabulary.")] = 8000,
    size: Annotated[str, typer.Option(help="The encoder's size.")] = "4x312",
    cased: Annotated[bool, typer.Option(help="Keep case and accents.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Draws the weights.")] = 42,
) -> None:
    """Make a BERT for a new language or field: a WordPiece vocabulary and random weights.

    A pretrain stage then trains it: teacher.model=OUT with student.init teacher-layers.

    Example: distill blank models/zh --text reviews.jsonl.gz --tokens 8000 --size 4x256
    """
    from distill.data.text.documents import FileSource, find_files
    from distill.data.text.vocabulary import learn_vocabulary, make_tokenizer, read_vocabulary
    from distill.export.transformers_folder import save_transformers
    from distill.recipe.sizes import resolve_size
    from distill.system.errors import DataError
    from students.build import blank_encoder

    if (vocab is None) == (not text):
        raise DataError("give --text to learn a vocabulary from, or --vocab; one of the two")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already; choose another folder")
    shape = resolve_size(size)
    if vocab is not None:
        words = read_vocabulary(vocab)
    else:
        source = FileSource(find_files(text or [], key="--text"))
        words = learn_vocabulary(source, size=tokens, lowercase=not cased)
    tokenizer = make_tokenizer(words, lowercase=not cased)
    model = blank_encoder(shape, tokens=len(words), pad_id=words.index("[PAD]"), seed=seed)
    save_transformers(model, tokenizer, out)
    typer.echo(f"{out}: {len(words):,} tokens, {shape.layers}x{shape.hidden}")
    typer.echo(
        f"next: distill run pretrain teacher.model={quoted(out)} student.size={size} "
        "data.train=TEXT"
    )
