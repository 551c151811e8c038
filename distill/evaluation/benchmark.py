"""Any number of models side by side: what each costs and how fast it answers, in one timing.

Unlike the evaluation of a run it needs neither a task nor rows: bundles in every format they hold,
``transformers`` folders and exported files are timed in turns, as :mod:`distill.evaluation.speed`
does it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.evaluation.cells import REAL, latency_cell, throughput_cell
from distill.evaluation.cost import bytes_of, macs, parameters
from distill.evaluation.machine import machine
from distill.evaluation.predictors import FilePredictor, Predictor, TorchPredictor, reference
from distill.evaluation.speed import measure, random_batch, summarise
from distill.export.bundle import MODEL_FILES
from distill.runtime.backends import ENGINES, is_installed
from distill.runtime.manifest import MANIFEST, Manifest, read_manifest
from distill.runtime.rows import Wanted, read_rows
from distill.system.errors import DataError, ModelError
from distill.tasks import decoder_class
from distill.text.encoding import TextEncoder
from students.heads import positions_of
from teachers.load import load_model

logger = logging.getLogger("distill")

#: Formats by the ending of a file that is given by itself.
_ENDINGS = {".onnx": "onnx", ".xml": "openvino", ".safetensors": "numpy"}
#: Ids below this are in the vocabulary of any model; which ids are read changes no time.
_VOCABULARY = 100


@dataclass(frozen=True)
class Candidate:
    """A model to be timed, at its folder or file."""

    path: Path
    predictor: Predictor
    bytes: int  # of its weights
    model: Any = None  # the torch model it is, or was exported from, where that is there
    longest: int | None = None  # tokens that it reads at most, where that is known


def benchmark(
    targets: Sequence[Path],
    *,
    lengths: Sequence[int | str],
    batch_sizes: Sequence[int],
    threads: int,
    repeats: int,
    against: str | None = None,
    rows: str | None = None,
) -> dict[str, Any]:
    """Time models side by side.

    Args:
        targets: bundles or run folders, ``transformers`` folders, ``.onnx`` or OpenVINO files.
        lengths: numbers of tokens, or ``real``.
        batch_sizes: examples in a call.
        threads: CPU threads of every model.
        repeats: timed calls per model, batch size and length.
        against: ``bert-base``: a BERT of that shape with random weights, which is 1x then;
            otherwise the first model is.
        rows: a file of texts whose lengths are the real ones; left out, a bundle holds those of its
            own task's rows.

    Returns:
        ``schema``, ``machine``, ``one`` (the name of the 1x), ``real_lengths`` and ``models``: for
        each ``name``, ``format``, ``path``, ``bytes``, ``parameters``, ``macs``, ``latency_ms``,
        ``throughput`` and ``faster`` and ``smaller`` (than the 1x).

    Raises:
        ModelError: a target is no model, or reads fewer tokens than a length.
        DataError: real lengths are asked for and nothing holds them.
    """
    candidates = list(_named(candidate for path in targets for candidate in _open(path, threads)))
    fixed = [int(length) for length in lengths if length != REAL]
    real = _example_lengths(targets, rows) if REAL in lengths else []
    longest = max([*fixed, *real])
    _check_lengths(candidates, longest)
    length = max(1, round(summarise(real)["mean"])) if real else min(fixed)
    if against is not None:
        one, facts = reference(against, threads=threads, length=length, longest=longest)
        candidates.insert(0, Candidate(Path(against), one, facts.bytes, model=one.model))
    speed = measure(
        {candidate.predictor.name: candidate.predictor for candidate in candidates},
        batch_sizes=batch_sizes,
        lengths=lengths,
        threads=threads,
        repeats=repeats,
        vocab_size=_VOCABULARY,
        seed=0,
        example_lengths=real,
    )
    return {
        "schema": 1,
        "machine": machine() | {"threads": threads},
        "one": candidates[0].predictor.name,
        "real_lengths": summarise(real) if real else None,
        "models": [_row(candidate, candidates[0], speed, length) for candidate in candidates],
    }


def _row(
    candidate: Candidate, one: Candidate, speed: dict[str, dict[str, Any]], length: int
) -> dict[str, Any]:
    times, base = speed[candidate.predictor.name], speed[one.predictor.name]
    alone = latency_cell(set(times["latency_ms"]))
    many = throughput_cell(set(times["throughput"]))
    model = candidate.model
    return {
        "name": candidate.predictor.name,
        "format": candidate.predictor.format,
        "path": str(candidate.path),
        "bytes": candidate.bytes,
        "parameters": None if model is None else parameters(model),
        "macs": None if model is None else macs(model, length),
        "latency_ms": times["latency_ms"],
        "throughput": times["throughput"],
        "faster": base["latency_ms"][alone]["p50"] / times["latency_ms"][alone]["p50"],
        "more_per_second": times["throughput"][many] / base["throughput"][many],
        "smaller": one.bytes / candidate.bytes,
    }


def _named(candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    """The candidates with names of their own: a second ``x/onnx`` becomes ``x/onnx (2)``."""
    seen: dict[str, int] = {}
    for candidate in candidates:
        name = candidate.predictor.name
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            candidate.predictor.name = f"{name} ({seen[name]})"
        yield candidate


def _open(path: Path, threads: int) -> Iterator[Candidate]:
    if path.suffix in _ENDINGS and path.is_file():
        yield _file(path, path.stem, _ENDINGS[path.suffix], threads)
        return
    if (path / "config.json").is_file() and not (path / MANIFEST).is_file():
        yield _folder(path, path.name, threads)
        return
    manifest = read_manifest(path)  # raises, and says what is there instead
    name = path.resolve().name if path.resolve() != manifest.folder.resolve() else path.name
    yield from _bundle(manifest, name or manifest.folder.resolve().name, threads)


def _bundle(manifest: Manifest, name: str, threads: int) -> Iterator[Candidate]:
    model, folder = None, manifest.folder
    if "transformers" in manifest.formats:
        found = _folder(folder, f"{name}/transformers", threads)
        model = found.model
        yield found
    for format, file in MODEL_FILES.items():
        if format not in manifest.formats or format not in ENGINES:
            continue
        if not is_installed(format):
            logger.info("%s/%s: left out, %s is not installed", name, format, ENGINES[format])
            continue
        manifest.file(format)  # raises where the copy is not whole
        longest = manifest.max_length if model is None else positions_of(model)
        found = _file(folder / file, f"{name}/{format}", format, threads)
        yield replace(found, model=model, longest=longest)


def _folder(path: Path, name: str, threads: int) -> Candidate:
    model = load_model(path)
    predictor = TorchPredictor(model, threads, name=name)
    return Candidate(path, predictor, bytes_of(path), model, positions_of(model))


def _file(path: Path, name: str, format: str, threads: int) -> Candidate:
    predictor = FilePredictor(path, threads, name=name, format=format)
    return Candidate(path, predictor, bytes_of(path))


def _check_lengths(candidates: Sequence[Candidate], longest: int) -> None:
    """Refuse what would otherwise fail in the middle of the timing."""
    for candidate in candidates:
        if candidate.longest is not None and candidate.longest < longest:
            raise ModelError(
                f"{candidate.path}: reads at most {candidate.longest} tokens and {longest} are to "
                "be timed; name shorter --lengths"
            )
        try:
            candidate.predictor(random_batch(1, longest, vocab_size=_VOCABULARY, seed=0))
        except Exception as error:  # each engine has errors of its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"{candidate.path}: does not answer to {longest} tokens ({reason})"
            ) from error


def _example_lengths(targets: Sequence[Path], rows: str | None) -> list[int]:
    """Real lengths: of the rows in a file, or those that a bundle remembers."""
    manifest = next((found for path in targets if (found := _manifest(path))), None)
    if rows is None:
        if manifest is not None and manifest.lengths:
            return list(manifest.lengths)
        raise DataError(
            "real lengths are not known: give rows of the task (--rows FILE), or numbers of "
            "tokens (--lengths 16,32)"
        )
    if manifest is None:
        raise DataError(f"{rows}: a bundle is needed too, whose tokenizer counts their tokens")
    encoder = TextEncoder(manifest.folder, max_length=manifest.max_length, pad_id=manifest.pad_id)
    listed = decoder_class(manifest.task).takes_candidates
    read = list(read_rows(rows, Wanted().of_candidates() if listed else Wanted()))
    if not read:
        raise DataError(f"{rows}: no rows")
    each = [(row.text, candidate) for row in read for candidate in row.pair or ()]
    texts = [text for text, _ in each] if listed else [row.text for row in read]
    pairs = [candidate for _, candidate in each] if listed else None
    return [len(found) for found in encoder.encode(texts, pairs)]


def _manifest(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except (ModelError, json.JSONDecodeError):
        return None
