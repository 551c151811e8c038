"""What a job's results depend on: the input, the bundle, the settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from distill.files.lines import NOT_GZIP, not_gzip, opened
from distill.files.rows import CSV, TSV, file_kind
from distill.runtime.job_files import Job
from distill.runtime.manifest import MANIFEST, Manifest
from distill.system import digest
from distill.tasks.decoder import Decoder, Logits

#: Rows that are sorted by length and computed together: enough to pad little, few enough that the
#: memory does not depend on the file.
WINDOW = 1024
_SCHEMA = 1
_CHUNK = 1 << 20


class Predictor(Protocol):
    """A loaded bundle."""

    manifest: Manifest
    format: str
    decoder: Decoder

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        batch_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """One mapping for each text."""
        ...

    def encode(self, texts: Sequence[str], *, batch_size: int | None = None) -> Logits:
        """A vector for each text."""
        ...


@dataclass(frozen=True)
class Input:
    """The input as it was when the job began; ``rows`` is about how many there are."""

    bytes: int
    sha256: str
    rows: int


def look_at(source: str) -> Input:
    """Hash a file and count its lines; the header of a table is none of them.

    Raises:
        DataError: the file is missing, or a damaged gzip file.
    """
    lines = 0
    try:
        with opened(source) as (_, file):
            while chunk := file.read(_CHUNK):
                lines += chunk.count(b"\n")
    except NOT_GZIP as error:
        raise not_gzip(source, error) from error
    path = Path(source)
    rows = lines - (file_kind(source) in (CSV, TSV))
    return Input(path.stat().st_size, digest.of_file(path), max(rows, 1))


def bundle_digest(model: Predictor) -> str:
    """SHA-256 (hex) of what a bundle's predictions depend on; measured numbers do not count."""
    manifest = model.manifest
    entry = manifest.formats[model.format]
    files = [manifest.folder / str(one["file"]) for one in (entry, entry.get("weights")) if one]
    files += [manifest.folder / name for name in ("tokenizer.json", "tokenizer_config.json")]
    content = json.loads((manifest.folder / MANIFEST).read_text(encoding="utf-8"))
    told = {key: value for key, value in content.items() if key not in ("numbers", "formats")}
    return digest.of_json([told, [digest.of_file(path) for path in files if path.is_file()]])


def job_facts(model: Predictor, job: Job, found: Input | None) -> dict[str, Any]:
    """What must be the same for a job to be gone on with.

    There is no ``input`` where it cannot be read twice.

    Args:
        model: a loaded bundle.
        job: what is predicted.
        found: the input file; ``None`` for standard input.
    """
    facts = {"schema": _SCHEMA, "bundle": bundle_digest(model), "settings": _settings(model, job)}
    if found is not None:
        facts["input"] = {"bytes": found.bytes, "sha256": found.sha256}
    return facts


def _settings(model: Predictor, job: Job) -> dict[str, Any]:
    return {
        "column": job.column,
        "pair_column": job.pair_column,
        "keep": list(job.keep),
        "delimiter": job.delimiter,
        "texts": job.texts,
        "format": model.format,
        "batch_size": job.batch_size,
        "threads": job.threads,
        "window": WINDOW,
        # Left out elsewhere, as it always was.
        **({"vectors": True} if job.vectors else {}),
    }
