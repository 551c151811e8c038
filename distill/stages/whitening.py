"""Whitening of a sentence encoder's vectors: found on training texts, scored, and put by.

Legend: F sentences, D width of the vectors, K of the whitened ones.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from distill.data.batches import make_loader
from distill.evaluation.predictors import Batch, FilePredictor, Logits
from distill.evaluation.score import score
from distill.stages.context import StageContext
from distill.system import digest
from distill.system.console import Bar
from distill.system.errors import ModelError
from distill.tasks.vectors.finish import WHITENING, Finish, fit_whitening
from students.anatomy import INPUTS

logger = logging.getLogger("distill")

#: Training sentences that the covariance is taken of, at most.
_MOST = 20_000


class _Finished:
    """A model whose vectors are finished as the runtime does it."""

    def __init__(self, predictor: FilePredictor, finish: Finish) -> None:
        self.predictor, self.finish = predictor, finish
        self.name, self.format = predictor.name, predictor.format

    def __call__(self, batch: Batch) -> Logits:
        return self.finish(self.predictor(batch))


def whitened(
    models: Mapping[str, FilePredictor], context: StageContext
) -> tuple[dict[str, Any], dict[str, Path], dict[str, Any]]:
    """Find the whitening that the task asks for, and what it does to every format's score.

    One whitening, of the fp32 graph where there is one, serves all formats.

    Returns:
        Settings for the bundle's description, files by their names in the bundle, and facts for
        ``stage.json``; all empty where the task asks for none.

    Raises:
        ModelError: no format is exported that can be run.
        DataError: the training vectors do not span so many dimensions.
    """
    task = context.workspace.task
    dimensions = getattr(context.recipe.task, "whitening", None)
    if dimensions is None:
        return {}, {}, {}
    if not models:
        raise ModelError("task.whitening: a bundle without a format to run; export onnx too")
    normalize = bool(task.settings["normalize"])
    plain = Finish(normalize=normalize)
    vectors = _training_vectors(models.get("onnx") or next(iter(models.values())), context)
    whitening = fit_whitening(plain(vectors), dimensions)
    path = context.folder / WHITENING
    whitening.write(path)
    finish = Finish(normalize=normalize, whitening=whitening)
    rows = context.workspace.tokenized(context.workspace.data.validation)
    scores, notes = {}, []
    for name, model in models.items():
        before = score(_Finished(model, plain), rows, task)[task.primary]
        after = score(_Finished(model, finish), rows, task)[task.primary]
        scores[name] = {"before": before, "after": after}
        notes.append(
            f"{name}: whitening to {dimensions} of {vectors.shape[1]} dimensions: "
            f"{task.primary} {before:.4f} to {after:.4f} ({after - before:+.4f})"
        )
        logger.info("%s: %s", context.stage.name, notes[-1])
    entry = {"file": WHITENING, "dimensions": dimensions, "sha256": digest.of_file(path)}
    facts = {"whitening": scores | {"sentences": len(vectors)}, "notes": notes}
    return {"whitening": entry}, {WHITENING: path}, facts


def _training_vectors(model: FilePredictor, context: StageContext) -> np.ndarray:
    """(F, D) vectors of the training sentences, or of as many as are needed."""
    rows = context.workspace.tokenized(context.workspace.data.train)
    parts, count = [], 0
    wanted = min(len(rows), _MOST)
    loader = make_loader(rows, 64, seed=context.recipe.seed, shuffle=True)
    with Bar("vectors of train", wanted) as bar:
        for batch in loader:
            parts.append(model({key: batch[key].numpy() for key in INPUTS if key in batch}))
            count += len(parts[-1])
            bar.advance(len(parts[-1]))
            if count >= wanted:
                break
    return np.concatenate(parts)
