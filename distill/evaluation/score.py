"""How well a model does the task: every metric of the task over a split.

Legend: B batch, C classes.
"""

from __future__ import annotations

import torch

from distill.console import Bar
from distill.data.batches import make_loader
from distill.data.tokenized import TokenizedDataset
from distill.errors import DataError
from distill.evaluation.predictors import INPUTS, Predictor, torch_threads
from distill.tasks.base import Task


def score(
    predictor: Predictor, dataset: TokenizedDataset, task: Task, *, batch_size: int = 64
) -> dict[str, float]:
    """Score a model on every row of a split, batched by length.

    Args:
        predictor: the model, in torch or ONNX Runtime.
        dataset: the rows; none is dropped.
        task: gives the metrics.
        batch_size: rows in a call; the scores do not depend on it.

    Returns:
        Every metric of the task by name; ``task.primary`` is among them.

    Raises:
        DataError: the split has no rows.
    """
    if len(dataset) == 0:
        raise DataError("cannot score a model on a split without rows")
    metrics = task.metrics()
    loader = make_loader(dataset, batch_size, seed=0, shuffle=False)
    with torch_threads(), Bar(f"scoring {predictor.name}", len(dataset)) as bar:
        for batch in loader:
            inputs = {key: batch[key].numpy() for key in INPUTS if key in batch}
            task.observe(metrics, torch.from_numpy(predictor(inputs)), batch)
            bar.advance(len(batch["index"]))
    return {name: float(value) for name, value in metrics.compute().items()}
