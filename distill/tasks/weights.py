"""How much each label counts in the loss on labels.

Shapes: N rows, C labels.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence

from distill.system.errors import DataError
from distill.tasks.base import Task

_SHOWN = 8


def class_weights(
    said: str | Mapping[str, float] | None, names: Sequence[str], rows: Sequence[int]
) -> tuple[float, ...] | None:
    r"""The weight of each label, or ``None`` where all count alike.

    ``balanced`` gives label c the weight :math:`N / (K n_c)`, of which the mean over the rows is 1:
    n_c of the N rows have it, and K labels have any. A label without rows has 1.

    Args:
        said: what the recipe says: ``balanced``, or weights by name; labels left out have 1.
        names: the labels in the order of their integers.
        rows: the label of each training example.

    Raises:
        DataError: a name is not among the labels, or there are no rows to count in.
    """
    if said is None:
        return None
    if not isinstance(said, str):
        return by_name(said, names, key="task.class_weights")
    _some(rows, "task.class_weights")
    counts = Counter(rows)
    return tuple(
        len(rows) / (len(counts) * counts[label]) if counts[label] else 1.0
        for label in range(len(names))
    )


def positive_weights(
    said: str | Mapping[str, float] | None, names: Sequence[str], rows: Sequence[Sequence[int]]
) -> tuple[float, ...] | None:
    r"""The weight of each label where a row has it, or ``None`` where all are 1.

    ``balanced`` gives label c the weight :math:`(N - n_c) / n_c`, so that the rows with it count as
    much together as those without. A label that no row has, or all have, has 1.

    Args:
        said: what the recipe says: ``balanced``, or weights by name; labels left out have 1.
        names: the labels in the order of their integers.
        rows: the labels of each training example.

    Raises:
        DataError: a name is not among the labels, or there are no rows to count in.
    """
    if said is None:
        return None
    if not isinstance(said, str):
        return by_name(said, names, key="task.positive_weights")
    _some(rows, "task.positive_weights")
    counts = Counter(label for row in rows for label in row)
    whole = len(rows)
    return tuple(
        (whole - counts[label]) / counts[label] if 0 < counts[label] < whole else 1.0
        for label in range(len(names))
    )


def _some(rows: Sequence[object], key: str) -> None:
    if not rows:
        raise DataError(
            f"{key}: balanced weights are counted in the training examples, which are none"
        )


def by_name(said: Mapping[str, float], names: Sequence[str], *, key: str) -> tuple[float, ...]:
    """Weights in the order of the labels, 1 for those left out.

    Args:
        said: weights by name.
        names: the labels in the order of their integers.
        key: where they stand in the recipe, for the error.

    Raises:
        DataError: a name is not among the labels.
    """
    for name in said:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f"; did you mean '{near[0]}'?" if near else ""
            raise DataError(
                f"{key}: there is no label '{name}'; labels are {', '.join(names[:20])}{meant}"
            )
    return tuple(float(said.get(name, 1.0)) for name in names)


def weights_note(task: Task) -> str | None:
    """One sentence on how much labels count, or ``None`` where all count alike."""
    weights: tuple[float, ...] | None = getattr(task, "weights", None)
    if weights is None:
        return None
    ranked = sorted(zip(weights, task.labels, strict=True), key=lambda pair: -pair[0])
    shown = ranked if len(ranked) <= _SHOWN else [*ranked[: _SHOWN - 1], ranked[-1]]
    told = [f"{name} {weight:.3g}" for weight, name in shown]
    if len(ranked) > _SHOWN:
        told.insert(-1, "...")
    return f"labels count in the loss on labels: {', '.join(told)}"
