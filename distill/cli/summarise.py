"""``distill summarise``: the sentences that say most of a text; needs no torch."""

from __future__ import annotations

import gzip
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from distill.files.lines import NOT_GZIP, not_gzip
from distill.system.errors import DataError, ModelError

_STDIN = "-"


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
    if file == _STDIN:
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
