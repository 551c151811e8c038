"""Export: the final model in every format asked for, checked, in one folder to deploy."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distill.data.batches import make_loader
from distill.evaluation.predictors import FilePredictor
from distill.export.bundle import MODEL_FILES, write_bundle
from distill.export.onnx import export_program
from distill.export.openvino import export_openvino
from distill.export.plain import export_plain
from distill.quantization.calibrate import Row
from distill.recipe.schema import ExportStage
from distill.report.card import write_card
from distill.runtime.backends import ENGINES
from distill.stages.context import StageContext, StageResult
from distill.stages.ensemble import average_logits
from distill.stages.quantize import file_predictor, pass_gate, sample_examples, scored
from distill.stages.whitening import whitened
from distill.tasks.decoder import unit
from students.anatomy import INPUTS
from teachers.load import load_model

logger = logging.getLogger("distill")


def export_stage(config: ExportStage, context: StageContext) -> StageResult:
    """Write the bundle.

    Raises:
        GateError: an exported format scores lower than the torch model by more than ``max_drop``.
    """
    source = context.trained_student_folder()
    stage = context.student_stage()
    before = float(context.run.read_stage(stage)["score"]) if stage else 0.0
    made, default = _files(config, source, context)
    # Other formats were checked against torch when they were written.
    models = {name: file_predictor(made[name], name, context) for name in made if name in ENGINES}
    scores = {}
    for name, model in models.items():
        scores[name] = scored(model, context)
        # int8 has passed its own gate against the same model in fp32.
        if "-" not in name:
            pass_gate(
                name, before=before, after=scores[name], max_drop=config.max_drop, context=context
            )
    workspace = context.workspace
    settings, files, facts = whitened(models, context)
    quantized = context.earlier("quantize")
    info = {
        "name": context.recipe.name,
        "task": context.recipe.task.kind,
        "labels": list(workspace.task.labels),
        "settings": context.settled_task(stage).settings | settings,
        "pair": workspace.data.train.paired,
        "max_length": context.recipe.data.max_length,
        "lengths": _lengths(context),
    }
    write_bundle(
        context.run.bundle,
        transformers_folder=source if "transformers" in config.formats else None,
        tokenizer_folder=source,
        models=made,
        info=info if default is None else info | {"default": default},
        beside=files,
        facts={} if quantized is None else context.run.read_stage(quantized)["formats"],
    )
    write_card(context.run.bundle, source, context.recipe, None)
    kinds = {".npz", ".onnx", ".safetensors", ".xml", ".bin", ".pt2"}
    weights = [path for path in context.run.bundle.rglob("*") if path.suffix in kinds]
    return StageResult(
        outputs=sorted(weights),
        facts={"score": before, "scores_by_format": scores, "bundle": context.run.bundle.name}
        | facts
        | _cosines_to_teacher(models, context),
    )


def _cosines_to_teacher(
    models: Mapping[str, FilePredictor], context: StageContext
) -> dict[str, Any]:
    """How near each format's vectors are to the teacher's, where they are to lie in its space."""
    workspace = context.workspace
    split, targets = workspace.data.validation, workspace.recipe.teacher.targets
    theirs: Any = workspace.given(split)  # (F, D)
    if not workspace.task.keep_projection or (targets is not None and theirs is None):
        return {}
    if theirs is None:
        theirs = average_logits(context, lambda one: workspace.tokenized(split, one))
    found, notes = {}, []
    for name, model in models.items():
        cosines = []
        for batch in make_loader(workspace.tokenized(split), 64, seed=0, shuffle=False):
            ours = model({key: batch[key].numpy() for key in INPUTS if key in batch})  # (B, D)
            cosines.append((unit(ours) * unit(theirs[batch["index"].numpy()])).sum(axis=1))
        found[name] = float(np.concatenate(cosines).mean())
        notes.append(
            f"{name}: its vectors lie in the teacher's space of {theirs.shape[1]} dimensions: mean "
            f"cosine to the teacher's {found[name]:.4f} on the validation examples"
        )
        logger.info("%s: %s", context.stage.name, notes[-1])
    return {"cosine_to_teacher": found, "notes": notes}


def _files(
    config: ExportStage, source: Path, context: StageContext
) -> tuple[dict[str, Path], str | None]:
    """The files by format, and the format that quantisation found best."""
    wanted = set(config.formats)
    samples = sample_examples(context, context.workspace.data.validation, 4)
    needed = wanted != {"transformers"}
    format, plain, found, default = _quantised(source, samples, context, needed=needed)
    made = {name: path for name, path in found.items() if _is_wanted(name, wanted)}
    if plain is not None and "openvino" in wanted:
        made["openvino"] = context.folder / MODEL_FILES["openvino"]
        export_openvino(plain, made["openvino"])
    if "torch-export" in wanted:
        made["torch-export"] = context.folder / MODEL_FILES["torch-export"]
        export_program(load_model(source), made["torch-export"], samples=samples)
    int8_alone = any(name.endswith("-int8") for name in wanted)
    if plain is not None and int8_alone and not any(name in ENGINES for name in made):
        told = "nothing is int8 (quantize tells why), so fp32 is exported"
        logger.warning("%s: %s", context.stage.name, told)
        made[format] = plain
    ordered = {name: made[name] for name in MODEL_FILES if name in made}
    return ordered, default if default in ordered else None


def _is_wanted(name: str, wanted: Container[str]) -> bool:
    """Whether a file is asked for: by its engine, or int8 alone."""
    engine, _, quantised = name.partition("-")
    return engine in wanted or (bool(quantised) and f"{engine}-int8" in wanted)


def _quantised(
    source: Path, samples: list[Row], context: StageContext, *, needed: bool
) -> tuple[str, Path | None, dict[str, Path], str | None]:
    """The fp32 file with its format, all files by format and the best format.

    They are those of the quantize stage, or fresh in fp32.
    """
    quantized = context.earlier("quantize")
    if quantized is not None:
        folder, facts = context.run.stage(quantized), context.run.read_stage(quantized)
        found = {name: folder / file for name, file in facts["files"].items()}
        format = next(name for name in found if "-" not in name)
        return format, found[format], found, str(facts["format"])
    if not needed:
        return "onnx", None, {}, None
    format, target = export_plain(load_model(source), context.folder, samples=samples)
    return format, target, {format: target}, None


def _lengths(context: StageContext) -> list[int]:
    """Lengths of the validation examples in tokens: shortest, every twentieth, longest."""
    data = context.workspace.tokenized(context.workspace.data.validation)
    steps = np.quantile(data.lengths, np.linspace(0, 1, 21), method="nearest")
    return [int(step) for step in steps]
