"""The bundle: one folder with the final model in every format, and what is needed to run it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distill.runtime.backends import ENGINES
from distill.runtime.manifest import MANIFEST, SCHEMA
from distill.system import digest
from distill.system.atomic import new_folder, write_json
from distill.system.errors import ModelError
from distill.system.processor import processor
from students.family import PRUNED, family_of
from students.folder import PRUNED_CONFIG
from students.sentence_modules import write_modules

#: Formats beside ``transformers`` and where their files lie inside a bundle: under the names that
#: transformers.js, sentence-transformers and optimum look for.
MODEL_FILES = {
    "onnx": "onnx/model.onnx",
    "onnx-int4": "onnx/model_q4.onnx",
    "onnx-int8": "onnx/model_quantized.onnx",
    "openvino": "openvino/openvino_model.xml",
    "openvino-int8": "openvino/openvino_model_qint8_quantized.xml",
    "torch-export": "model.pt2",
    "numpy": "table.safetensors",
    "numpy-int8": "table.int8.safetensors",
}
_WEIGHTS = "model.safetensors"
#: What a tokenizer consists of, as far as it has them.
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def write_bundle(
    folder: Path,
    *,
    transformers_folder: Path | None,
    tokenizer_folder: Path,
    models: Mapping[str, Path],
    info: Mapping[str, Any],
    beside: Mapping[str, Path] = {},
    facts: Mapping[str, Mapping[str, Any]] = {},
) -> None:
    """Write a bundle; what lay there before is replaced as a whole.

    The folder gets the files of the transformers folder, the model files and ``distill.json``:
    ``schema``, ``name``, ``task``, ``labels``, ``settings``, ``pair``, ``max_length``, ``pad_id``,
    ``default`` (the format that is loaded), ``formats`` (``file``, ``bytes``, ``sha256`` of each,
    ``weights`` of a second file, ``opset`` of ONNX; of products in int8 ``activation_scales`` and
    ``weight_bits``), ``isa`` (of the processor that it was made on) and ``numbers``. That of a
    sentence encoder is also a folder of sentence-transformers.

    Args:
        folder: where.
        transformers_folder: a folder that ``transformers`` loads; ``None`` leaves that format out.
        tokenizer_folder: the folder whose ``tokenizer.json`` the runtime uses; its ``config.json``
            is for other libraries.
        models: format (a key of :data:`MODEL_FILES`) to file.
        info: ``name``, ``task``, ``labels``, ``pair`` and ``max_length``; optionally ``settings``,
            ``pad_id`` (else it is read from the tokenizer), ``default``, ``lengths`` and
            ``numbers``.
        beside: further files by their names in the bundle, which ``settings`` speak of.
        facts: what else is recorded of a format.

    Raises:
        ModelError: there is no format, an unknown one, or no ``tokenizer.json``.
        OSError: the disk is full or the folder cannot be written; it is then unchanged.
    """
    _check_parts(folder, models, transformers_folder, tokenizer_folder)
    with new_folder(folder) as temporary:
        formats: dict[str, dict[str, Any]] = {}
        if transformers_folder is not None:
            copy_files(transformers_folder, temporary)
            formats["transformers"] = file_entry(temporary / _WEIGHTS)
        copy_files(tokenizer_folder, temporary, ("config.json", *TOKENIZER))
        _name_family(temporary)
        for name, source in models.items():
            formats[name] = _model(source, temporary, MODEL_FILES[name]) | dict(facts.get(name, {}))
        for name, source in beside.items():
            shutil.copyfile(source, temporary / name)
        settings = info.get("settings", {})
        if "transformers" in formats and "pooling" in settings:
            write_modules(temporary, settings, max_length=info["max_length"])
            # Layers behind the pooling are modules of their own now.
            formats["transformers"] = file_entry(temporary / _WEIGHTS)
        content = {
            "schema": SCHEMA,
            "pad_id": _pad_id(tokenizer_folder / "tokenizer.json"),
            "default": next((name for name in ENGINES if name in formats), None),
            "isa": list(processor().isa),
            **info,
            "formats": formats,
            "numbers": dict(info.get("numbers", {})),
        }
        write_json(temporary / MANIFEST, content)


def _check_parts(
    folder: Path,
    models: Mapping[str, Path],
    transformers_folder: Path | None,
    tokenizer_folder: Path,
) -> None:
    unknown = sorted(set(models) - set(MODEL_FILES))
    if unknown or not (models or transformers_folder):
        problem = (
            f"unknown format '{unknown[0]}'" if unknown else "no format to put into the bundle"
        )
        raise ModelError(f"{folder}: {problem}; known are transformers, {', '.join(MODEL_FILES)}")
    if not (tokenizer_folder / "tokenizer.json").is_file():
        raise ModelError(f"{tokenizer_folder}: no tokenizer.json; save the fast tokenizer there")


def copy_files(source: Path, target: Path, names: Sequence[str] | None = None) -> None:
    """Copy a folder's files, or those of these names that are there."""
    for path in sorted(source.iterdir()):
        if path.is_file() and (names is None or path.name in names):
            shutil.copyfile(path, target / path.name)


def _name_family(folder: Path) -> None:
    """Give a pruned model's ``config.json`` the type of its family, which other libraries know.

    They run the ONNX file and need no sizes of layers. ``transformers`` does, and is led to a
    second file with the model's own type: it reads the one of ``configuration_files`` that is for
    its version.
    """
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    kind = str(config.get("model_type"))
    if not kind.startswith(PRUNED):
        return
    write_json(folder / PRUNED_CONFIG, config)
    prefix = family_of(kind).prefix
    stock = [name.replace(f"Pruned{prefix}", prefix) for name in config.get("architectures") or ()]
    named = {"model_type": kind.removeprefix(PRUNED), "architectures": stock}
    write_json(path, config | named | {"configuration_files": [PRUNED_CONFIG]})


def add_numbers(folder: Path, numbers: Mapping[str, Any], default: str | None = None) -> None:
    """Put measured numbers into a bundle's ``distill.json``; those of the same name are replaced.

    ``default`` is the format that is loaded from now on; ``None`` leaves it. A ModelError where
    the folder is not a bundle.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"{folder}: not a bundle (it has no {MANIFEST})")
    content = json.loads(path.read_text(encoding="utf-8"))
    changed = {"default": default} if default in content["formats"] else {}
    write_json(path, content | changed | {"numbers": {**content["numbers"], **numbers}})


def _model(source: Path, folder: Path, file: str) -> dict[str, Any]:
    """Copy a model's file, or its two files, into the bundle; what the record says of them."""
    target = folder / file
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    entry = file_entry(target, file)
    if target.suffix == ".xml":
        second = Path(file).with_suffix(".bin")
        shutil.copyfile(source.with_suffix(".bin"), folder / second)
        entry["weights"] = file_entry(folder / second, second.as_posix())
    if target.suffix == ".onnx" and (opset := _opset(target)) is not None:
        entry["opset"] = opset
    return entry


def _opset(path: Path) -> int | None:
    """The operator set of an ONNX file."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception:  # protobuf's errors differ between its implementations
        return None
    return next((int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")), None)


def file_entry(path: Path, file: str | None = None) -> dict[str, Any]:
    """What a manifest records of a file, by its name in the bundle."""
    if not path.is_file():
        raise ModelError(f"{path.name}: missing; the transformers folder must hold it")
    return {"file": file or path.name, "bytes": path.stat().st_size, "sha256": digest.of_file(path)}


def _pad_id(tokenizer: Path) -> int:
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    settings = tokenizer.with_name("tokenizer_config.json")
    config = json.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    pad = config.get("pad_token", "[PAD]")
    pad = pad["content"] if isinstance(pad, dict) else pad  # with its settings, in older files
    for token in content.get("added_tokens", []):
        if token.get("content") == pad:
            return int(token["id"])
    padding = content.get("padding") or {}
    return int(padding.get("pad_id", 0))
