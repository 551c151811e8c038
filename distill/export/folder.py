"""A bundle from any folder with a task's model, without a recipe."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.export.bundle import MODEL_FILES, write_bundle
from distill.export.onnx import export_onnx, export_program
from distill.export.openvino import export_openvino
from distill.export.plain import export_plain
from distill.export.transformers_folder import save_transformers
from distill.quantization.methods.table import quantize_table
from distill.quantization.onnx_int8 import quantize_onnx
from distill.system.errors import ModelError
from distill.tasks import decoder_class, kind_of_model, predicting, task_class
from students.heads import head_of, positions_of
from students.static import STATIC
from teachers.load import load_model, load_tokenizer
from teachers.resolve import sentence_modules

#: Formats that need no data to calibrate on.
FORMATS = ("transformers", "onnx", "onnx-int8", "openvino", "torch-export", "numpy", "numpy-int8")
#: Those of a static student; no other model has them.
STATIC_FORMATS = FORMATS[-2:]


@dataclass(frozen=True)
class Known:
    """What a run tells of its task, and a model's folder does not: settings, and files by name."""

    settings: Mapping[str, Any]
    files: Mapping[str, Path] = field(default_factory=dict)


def export_folder(
    source: Path,
    target: Path,
    *,
    formats: Sequence[str] | None = None,
    max_length: int | None = None,
    pair: bool = False,
    task: str | None = None,
    known: Known | None = None,
) -> list[str]:
    """Write a bundle; logits are checked against torch, the score is not.

    There are no examples to calibrate with: int8 has one scale of activations for each token.

    Args:
        source: a folder that ``transformers`` loads as a model of a task, with its tokenizer.
        target: where; what lay there before is replaced as a whole.
        formats: some of :data:`FORMATS`; ``None`` takes transformers, onnx and onnx-int8, or of a
            static student all.
        max_length: tokens kept of an input; ``None`` takes as many as the model reads.
        pair: whether an input is two texts.
        task: what the model is for; ``None`` takes what its folder says.
        known: what else is known of the task; ``None`` takes what the folder says, or defaults.

    Returns:
        The formats that were written.

    Raises:
        ModelError: a format is unknown, or the model cannot be loaded or exported.
    """
    _check_names(formats or (), task)
    model = load_model(source, head=None if task is None else task_class(task).head)
    formats = _formats_of(model, formats, source)
    task = task or _task_of(model, source)
    gives_vectors = decoder_class(task).gives_vectors
    tokenizer = load_tokenizer(source, for_vectors=gives_vectors)
    longest = positions_of(model)
    if max_length is not None and not 2 < max_length <= longest:
        raise ModelError(f"{source}: max_length is {max_length}; the model reads up to {longest}")
    modules = sentence_modules(source) if gives_vectors else None
    own = None if modules is None else modules.max_length
    labels, settings = _labels_and_settings(model, task, source)
    if modules is not None:
        settings = settings | {"normalize": modules.normalize}
    known = known or Known(settings)
    info = {
        "name": source.resolve().name,
        "task": task,
        "labels": labels,
        "settings": dict(known.settings),
        "pair": pair or decoder_class(task).always_pairs,
        "max_length": max_length or min(longest, own or int(tokenizer.model_max_length)),
    }
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        save_transformers(model, tokenizer, work / "transformers")
        write_bundle(
            target,
            transformers_folder=work / "transformers" if "transformers" in formats else None,
            tokenizer_folder=work / "transformers",
            models=_models(model, formats, work),
            info=info,
            beside=known.files,
            facts={"onnx-int8": {"activation_scales": "per_token", "weight_bits": 7}},
        )
    return [name for name in FORMATS if name in formats]


def _check_names(formats: Sequence[str], task: str | None) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ModelError(f"unknown format '{unknown[0]}'; there are: {', '.join(FORMATS)}")
    if task is not None and task not in predicting():
        raise ModelError(f"unknown task '{task}'; there are: {', '.join(predicting())}")


def _formats_of(model: Any, formats: Sequence[str] | None, source: Path) -> Sequence[str]:
    static = model.config.model_type == STATIC
    formats = (STATIC_FORMATS if static else FORMATS[:3]) if formats is None else formats
    for name in formats:
        if (name in STATIC_FORMATS) is not static:
            fits = ", ".join(STATIC_FORMATS if static else FORMATS[:-2])
            kind = "a static student" if static else "an encoder"
            raise ModelError(f"{source}: {kind} has no format '{name}'; there are: {fits}")
    return formats


def _labels_and_settings(model: Any, task: str, source: Path) -> tuple[Any, dict[str, Any]]:
    names = [str(name) for _, name in sorted((model.config.id2label or {}).items())]
    try:
        return task_class(task).of_model(names, model.config)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error


def _task_of(model: Any, source: Path) -> str:
    problem = model.config.problem_type
    task = kind_of_model(head_of(model), problem, model.config.num_labels)
    if task is None:
        raise ModelError(
            f"{source}: no bundle is made of a {type(model).__name__} for {problem}; there are: "
            f"{', '.join(predicting())}"
        )
    return task


def _models(model: Any, formats: Sequence[str], work: Path) -> dict[str, Path]:
    paths = {name: work / MODEL_FILES[name] for name in formats if name in MODEL_FILES}
    plain = work / MODEL_FILES["onnx"]
    if {"onnx", "onnx-int8", "openvino"} & set(formats):
        export_onnx(model, plain)
    if "onnx-int8" in formats:
        quantize_onnx(plain, paths["onnx-int8"])
    if "openvino" in formats:
        export_openvino(plain, paths["openvino"])
    if paths.keys() & set(STATIC_FORMATS):
        export_plain(model, work)
    if "numpy-int8" in formats:
        quantize_table(work / MODEL_FILES["numpy"], paths["numpy-int8"])
    if "torch-export" in formats:
        export_program(model, paths["torch-export"])
    return paths
