"""How models go wrong: numbers and files made of their predictions, whatever the task's kind.

Legend: N examples, M decisions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill.evaluation.parts import Bin, Calibration, Confusion, Disagreement, LabelScore
from distill.evaluation.results import TEACHER
from distill.system import atomic
from distill.system.errors import RunFolderError, quoted

if TYPE_CHECKING:
    from distill.tasks.analysis import Analysis

#: Files in the evaluate stage's folder: every model's predictions, and examples with their texts on
#: which teacher and student differ, at most so many.
PREDICTIONS, DISAGREEMENTS = "predictions.npz", "disagreements.json"
MOST_EXAMPLES = 20
#: Bins of equal width, as is usual since Guo et al. 2017, On calibration of modern neural networks.
BINS = 15
#: Numbers of all models together up to which they are kept in fp32, 200 MB; beyond it in fp16.
_MANY = 50_000_000


def of_model(analysis: Analysis | None, model: str) -> dict[str, Any]:
    """A model's calibration, label scores and thresholds; nothing of one that is not kept."""
    if analysis is None or model not in analysis.models:
        return {}
    confidence = analysis.confidence(model)
    return {
        "calibration": None if confidence is None else calibration(*confidence),
        "label_scores": label_scores(analysis, model),
        "thresholds": analysis.thresholds(model),
    }


def of_final(analysis: Analysis | None, final: str | None = None) -> dict[str, Any]:
    """What the final model confuses, and where it differs from the teacher.

    ``final`` is the model's name; left out, it is the one that was scored last.
    """
    if analysis is None or not analysis.models:
        return {}
    final = final or analysis.models[-1]
    confusions = analysis.confusions(final)
    return {
        "confusion": None if confusions is None else Confusion(model=final, rows=confusions),
        "disagreement": disagreement(analysis, TEACHER, final),
    }


def calibration(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> Calibration:
    r"""How far a model's confidence is from how often it is right.

    .. math:: \mathrm{ECE} = \sum_b \frac{n_b}{M} |\mathrm{acc}_b - \mathrm{conf}_b|

    Args:
        confidence: of each decision, between 0 and 1, (M,).
        right: whether it is right, (M,).
    """
    numbers = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)  # (M,)
    count = np.bincount(numbers, minlength=BINS)
    sure = np.bincount(numbers, weights=confidence, minlength=BINS)
    true = np.bincount(numbers, weights=right, minlength=BINS)
    return Calibration(
        ece=float(np.abs(true - sure).sum() / len(numbers)),
        bins=[
            Bin(rows=int(n), confidence=float(sure[k] / n), accuracy=float(true[k] / n))
            for k, n in enumerate(count)
            if n
        ],
    )


def label_scores(analysis: Analysis, model: str) -> dict[str, LabelScore]:
    """Precision, recall, F1 and support of every label; empty of a task without labels."""
    counts = analysis.counts(model)
    if counts is None:
        return {}
    correct, predicted, true = counts.sum(axis=0).tolist()
    return {
        label: LabelScore(
            precision=_share(correct[k], predicted[k]),
            recall=_share(correct[k], true[k]),
            f1=_share(2 * correct[k], predicted[k] + true[k]),
            support=true[k],
        )
        for k, label in enumerate(analysis.names)
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def disagreement(analysis: Analysis, teacher: str, model: str) -> Disagreement | None:
    """How often a model and its teacher predict otherwise, and who is right then.

    ``None`` of predictions that are not right or wrong, or not kept.
    """
    if teacher not in analysis.models:
        return None
    theirs, own = analysis.right(teacher), analysis.right(model)
    if theirs is None or own is None:
        return None
    differ = analysis.difference(teacher, model) > -np.inf
    return Disagreement(
        model=model,
        rows=int(differ.sum()),
        share=float(differ.mean()),
        teacher_right=int((differ & theirs).sum()),
        model_right=int((differ & own).sum()),
        neither_right=int((differ & ~theirs & ~own).sum()),
    )


def disagreeing(analysis: Analysis, teacher: str, model: str, *, most: int) -> list[int]:
    """Examples for which both predict otherwise, those that show it most first."""
    weight = analysis.difference(teacher, model)
    order: list[int] = np.argsort(-weight, kind="stable").tolist()
    return [index for index in order if weight[index] > -np.inf][:most]


def write_analysis(analysis: Analysis | None, folder: Path, final: str | None = None) -> list[Path]:
    """Write all predictions, and examples on which teacher and final model differ.

    The predictions are arrays, nothing pickled: ``task``, ``models``, those of
    :meth:`Analysis.shared`, and of the K-th model those of :meth:`Analysis.arrays`, as ``NAME_K``.

    Returns:
        The files.
    """
    if analysis is None or not analysis.models:
        return []
    kept = [analysis.arrays(model) for model in analysis.models]
    count = sum(arrays["outputs"].size for arrays in kept if "outputs" in arrays)
    half = {"outputs": np.float16} if count > _MANY else {}
    arrays = {
        "task": np.array(analysis.task.kind),
        "models": np.array(analysis.models, dtype=np.str_),
        **analysis.shared(),
        **{
            f"{name}_{number}": values.astype(half.get(name, values.dtype))
            for number, own in enumerate(kept)
            for name, values in own.items()
        },
    }
    path = folder / PREDICTIONS
    atomic.write_arrays(path, **arrays)
    if TEACHER not in analysis.models:
        return [path]
    final = final or analysis.models[-1]
    content = {
        "schema": 1,
        "model": final,
        "rows": [
            {
                **analysis.example(index),
                "teacher": analysis.prediction(TEACHER, index),
                "model": analysis.prediction(final, index),
            }
            for index in disagreeing(analysis, TEACHER, final, most=MOST_EXAMPLES)
        ],
    }
    atomic.write_json(folder / DISAGREEMENTS, content)
    return [path, folder / DISAGREEMENTS]


@dataclass(frozen=True)
class Predictions:
    """What :func:`write_analysis` wrote: of all models together, and by model in their order."""

    task: str
    shared: dict[str, npt.NDArray[Any]]
    models: dict[str, dict[str, npt.NDArray[Any]]]


def read_predictions(path: Path) -> Predictions:
    """Read what :func:`write_analysis` wrote; a RunFolderError where that cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as content:
            names = [str(name) for name in content["models"]]
            models: dict[str, dict[str, npt.NDArray[Any]]] = {name: {} for name in names}
            shared = {}
            for key in set(content) - {"task", "models"}:
                name, _, number = key.rpartition("_")
                if number.isdecimal():
                    models[names[int(number)]][name] = content[key]
                else:
                    shared[key] = content[key]
            return Predictions(str(content["task"]), shared, models)
    except Exception as error:  # zip, numpy and key errors: whatever a broken file gives
        raise RunFolderError(
            f"{path}: cannot be read ({error}); make it anew: "
            f"distill evaluate {quoted(path.parent.parent)} --rerun"
        ) from error
