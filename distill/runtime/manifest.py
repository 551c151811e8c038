"""``distill.json``: what a bundle says about itself, read without torch."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.runtime.backends import ENGINES
from distill.system import atomic, digest
from distill.system.errors import ModelError, quoted
from distill.tasks import decoder_class

#: The file that makes a folder a bundle.
MANIFEST = "distill.json"
SCHEMA = 1

logger = logging.getLogger("distill")


@dataclass(frozen=True)
class Manifest:
    """A bundle's description."""

    folder: Path  # the bundle
    task: str  # the task's kind, such as ``classification``
    labels: tuple[str, ...]  # label names in the order of the logits
    pair: bool  # whether an input is two texts
    max_length: int  # tokens kept of an input, special tokens included
    pad_id: int  # the id that fills shorter rows of a batch
    default: str  # the format that is loaded where none is asked for; empty if none can be run
    # per format ``file``, ``bytes`` and ``sha256``; ``weights`` tells the same of a second file,
    # where a format has one; of products in int8 ``activation_scales`` and ``weight_bits``
    formats: dict[str, dict[str, Any]]
    numbers: dict[str, Any]  # measured numbers, as the evaluation gave them
    # lengths of real rows in tokens, from the shortest to the longest in even steps
    lengths: tuple[int, ...] = ()
    # what ``distill tune-runtime`` chose; empty if it was not asked
    runtime: dict[str, Any] = field(default_factory=dict)
    # what the task's kind needs beside labels, such as thresholds
    settings: dict[str, Any] = field(default_factory=dict)
    isa: tuple[str, ...] = ()  # instruction sets of the processor that the bundle was made on

    def file(self, name: str | None = None) -> Path:
        """The model file of a format the runtime can run, else of the bundle's default.

        Its size is compared with the record.

        Raises:
            ModelError: the bundle has no such format, or the file is not as it was written.
        """
        chosen = name or self.default
        there = [known for known in ENGINES if known in self.formats]
        if not there:
            raise ModelError(
                f"{self.folder}: nothing to predict with but torch; export the format onnx too"
            )
        if chosen not in there:
            raise ModelError(
                f"{self.folder}: no format '{chosen}' to predict with; it has {', '.join(there)}"
            )
        for entry in _files(self.formats[chosen]):
            path = self.folder / str(entry["file"])
            if not path.is_file():
                raise ModelError(f"{path}: missing from the bundle; copy the whole folder again")
            expected = int(entry["bytes"])
            if path.stat().st_size != expected:
                raise ModelError(
                    f"{path}: {path.stat().st_size} bytes, {MANIFEST} says {expected}; "
                    "the copy is not whole"
                )
        return self.folder / str(self.formats[chosen]["file"])

    def beside(
        self, settings: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Files that the settings name: what is applied to the graph's outputs."""
        for name, value in (self.settings if settings is None else settings).items():
            if isinstance(value, Mapping):
                if {"file", "sha256"} <= value.keys():
                    yield name, dict(value)
                else:
                    yield from self.beside(value)

    def verify(self) -> None:
        """Compare every file's SHA-256 with the record; takes a moment for large models.

        Raises:
            ModelError: a file is missing or was changed.
        """
        for name, files in (self.formats | dict(self.beside())).items():
            for entry in _files(files):
                path = self.folder / str(entry["file"])
                if not path.is_file() or digest.of_file(path) != entry["sha256"]:
                    raise ModelError(f"{path}: not the file that was exported as '{name}'")


def _files(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry, entry["weights"]] if "weights" in entry else [entry]


def find_bundle(folder: Path) -> Path:
    """The bundle at ``folder``: the folder itself, or the one of a run folder.

    Of a study of one variant it is that of the seed whose final model is best on the validation
    examples, which is logged.

    Raises:
        ModelError: there is none; the message says what is there instead.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise ModelError(f"{folder}: {what}; give a bundle or the folder of a finished run")
    for candidate in (folder, folder / "bundle", *sorted(folder.glob("*-export"))):
        if (candidate / MANIFEST).is_file():
            return candidate
    if (chosen := _chosen(folder)) is not None:
        return find_bundle(chosen)
    if (folder / "recipe.yaml").is_file():
        raise ModelError(
            f"{folder}: a run without a bundle yet; finish it with: distill resume {quoted(folder)}"
        )
    raise ModelError(f"{folder}: not a bundle (it has no {MANIFEST})")


def predict_command(bundle: Path, named: str | Path | None = None) -> str:
    """A command that predicts with a bundle, with as many texts as its model reads.

    The bundle is ``named`` there, left out by its folder.
    """
    start = f"distill predict {quoted(named or bundle)}"
    try:
        manifest = read_manifest(bundle)
        decoder = decoder_class(manifest.task)
    except ModelError:  # which the command says
        return f'{start} "some text"'
    seconds = decoder.second_texts() if manifest.pair else []
    pairs = "".join(f' --pair "{one}"' for one in seconds)
    return f'{start} "{decoder.words.example[0]}"{pairs}'


def _chosen(folder: Path) -> Path | None:
    """The run folder of a study that predictions come from; ``None`` where there is no study."""
    path = folder / "study.json"
    try:
        chosen = json.loads(path.read_text(encoding="utf-8"))["chosen"]
        if chosen is None:
            raise ModelError(f"{folder}: a study that chose no bundle; name the run of one trial")
        score, metric = chosen["validation"], chosen["metric"]
        best = "" if score is None else f" on the validation examples ({metric} {score:.4f})"
        name = chosen.get("variant") or f"seed {chosen['seed']}"
        logger.info("%s: %s, the best of %d%s", folder, name, chosen["seeds"], best)
        return folder / str(chosen["folder"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not readable as a study ({error}); name a bundle") from error


def read_manifest(folder: Path) -> Manifest:
    """Read the description of a bundle, or of a run folder's bundle.

    Raises:
        ModelError: there is no bundle, or its description cannot be read.
    """
    bundle = find_bundle(folder)
    path = bundle / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        found = content.get("schema") if isinstance(content, dict) else None
        raise ModelError(
            f"{path}: schema {found!r}, this version reads {SCHEMA}; use the version that wrote it"
        )
    try:
        return Manifest(
            folder=bundle,
            task=str(content["task"]),
            labels=tuple(content["labels"]),
            pair=bool(content["pair"]),
            max_length=int(content["max_length"]),
            pad_id=int(content["pad_id"]),
            default=str(content["default"] or ""),
            formats=dict(content["formats"]),
            numbers=dict(content.get("numbers", {})),
            lengths=tuple(int(length) for length in content.get("lengths", ())),
            runtime=dict(content.get("runtime", {})),
            settings=dict(content.get("settings", {})),
            isa=tuple(str(name) for name in content.get("isa", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: incomplete ({type(error).__name__}: {error})") from error


def write_runtime(folder: Path, runtime: Mapping[str, Any]) -> None:
    """Put what :func:`distill.runtime.tuning.tune` chose into a bundle's description.

    Raises:
        ModelError: the folder is not a bundle.
    """
    path = find_bundle(folder) / MANIFEST
    content = json.loads(path.read_text(encoding="utf-8"))
    atomic.write_json(path, {**content, "runtime": dict(runtime)})
