"""What every model said of every scored row, kept beside the results.

Legend: N rows, B rows of a batch, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill import atomic
from distill.errors import RunFolderError, quoted

#: The file in the evaluate stage's folder.
FILE = "predictions.npz"
#: Kinds of tasks with one row of outputs for each row of the data. Named entities have one for each
#: word (:mod:`distill.evaluation.tags`), and questions answers (:mod:`distill.evaluation.answers`).
KINDS = ("classification", "multi_label", "regression")
#: Numbers of all models together up to which they are kept in fp32, 200 MB; beyond it in fp16.
_MANY = 50_000_000

Values = npt.NDArray[np.float32]


@dataclass
class Predictions:
    """What models said of the rows of one split.

    Args:
        task: the task's kind, one of :data:`KINDS`, ``ner``, or ``vectors``, whose rows are pairs
            with their cosine.
        labels: label names in the order of the outputs.
        targets: what is right: (N,) integers or numbers, or (N, C) of 0 and 1.
        thresholds: of each model those of each label, where there may be several labels.
        outputs: model to probabilities (N, C), or to the values (N, 1) of a regression; in the
            order in which the models were scored.
        rows: of named entities, the row that each of the N words stands in, (N,).
    """

    task: str
    labels: tuple[str, ...]
    targets: npt.NDArray[Any]
    thresholds: dict[str, tuple[float, ...]] = field(default_factory=dict)
    outputs: dict[str, Values] = field(default_factory=dict)
    rows: npt.NDArray[np.int64] | None = None

    def keeper(self, model: str) -> Callable[[Values, Mapping[str, Any]], None]:
        """A function that takes a model's logits (B, C) batch by batch, as scoring meets them."""
        kept = np.zeros((len(self.targets), max(1, len(self.labels))), dtype=np.float32)
        self.outputs[model] = kept

        def keep(logits: Values, batch: Mapping[str, Any]) -> None:
            kept[np.asarray(batch["index"])] = as_outputs(logits, self.task)

        return keep

    def decided(self, model: str) -> npt.NDArray[Any]:
        """What a model chose: labels (N,), 0 and 1 (N, C), or the values (N,) themselves."""
        return decide(self.outputs[model], self.task, self.thresholds.get(model, ()))


def as_outputs(logits: Values, task: str) -> Values:
    """Logits (B, C) as probabilities; those of a regression as they are."""
    wide = np.asarray(logits, dtype=np.float64)
    if task == "regression":
        found = wide
    elif task == "multi_label":
        found = np.exp(-np.logaddexp(0.0, -wide))
    else:
        found = np.exp(wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True))
    return found.astype(np.float32)


def decide(outputs: Values, task: str, thresholds: Sequence[float] = ()) -> npt.NDArray[Any]:
    """What is chosen by outputs (N, C): labels (N,), 0 and 1 (N, C), or the values (N,)."""
    if task == "regression":
        return outputs[:, 0]
    if task == "multi_label":
        return (outputs > np.asarray(thresholds or 0.5, dtype=np.float32)).astype(np.int64)
    chosen: npt.NDArray[Any] = outputs.argmax(axis=-1)
    return chosen


def write_predictions(path: Path, found: Predictions) -> None:
    """Write them as arrays, nothing pickled.

    There are ``task``, ``labels``, ``targets``, ``models``, ``thresholds`` with a row for each
    model, ``outputs_K`` of the K-th model, and of named entities ``rows``.
    """
    count = sum(values.size for values in found.outputs.values())
    kind = np.float32 if count <= _MANY else np.float16
    arrays: dict[str, npt.NDArray[Any]] = {
        "task": np.array(found.task),
        "labels": np.array(found.labels, dtype=np.str_),
        "targets": found.targets,
        "thresholds": np.array(
            [found.thresholds.get(name, ()) for name in found.outputs], dtype=np.float64
        ),
        "models": np.array(list(found.outputs), dtype=np.str_),
    }
    if found.rows is not None:
        arrays["rows"] = found.rows
    arrays |= {f"outputs_{k}": v.astype(kind) for k, v in enumerate(found.outputs.values())}
    with atomic.new_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def read_predictions(path: Path) -> Predictions:
    """Read what :func:`write_predictions` wrote.

    Raises:
        RunFolderError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            outputs = {
                str(name): content[f"outputs_{k}"].astype(np.float32)
                for k, name in enumerate(content["models"])
            }
            return Predictions(
                task=str(content["task"]),
                labels=tuple(map(str, content["labels"])),
                targets=content["targets"],
                thresholds=_thresholds(content["thresholds"], list(outputs)),
                outputs=outputs,
                rows=content.get("rows"),
            )
    except Exception as error:  # zip, numpy and key errors: whatever a broken file gives
        raise RunFolderError(
            f"{path}: cannot be read ({error}); make it anew: "
            f"distill evaluate {quoted(path.parent.parent)} --rerun"
        ) from error


def _thresholds(kept: npt.NDArray[Any], models: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """A row for each model; files that were written before models had their own have one row."""
    rows = kept if kept.ndim == 2 else [kept] * len(models)
    return {model: tuple(map(float, row)) for model, row in zip(models, rows, strict=True)}
