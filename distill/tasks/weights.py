"""How much each label counts in the loss on labels.

Shapes: N rows, C labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from distill.system.errors import DataError, nearest
from distill.tasks.base import Task

_SHOWN = 8

Said = str | Mapping[str, float] | None


def class_weights(
    said: Said, names: Sequence[str], rows: Sequence[int]
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
    counts = Counter(rows)

    def balanced(label: int) -> float:
        own = counts[label]
        return len(rows) / (len(counts) * own) if own else 1.0

    return _weights("class_weights", said, names, rows, balanced)


def positive_weights(
    said: Said, names: Sequence[str], rows: Sequence[Sequence[int]]
) -> tuple[float, ...] | None:
    r"""The weight of each label where a row has it, or ``None`` where all are 1.

    ``balanced`` gives label c the weight :math:`(N - n_c) / n_c`, so that the rows with it count as
    much together as those without. A label that no row has, or all have, has 1. See
    :func:`class_weights`.
    """
    counts = Counter(chain.from_iterable(rows))

    def balanced(label: int) -> float:
        own = counts[label]
        return (len(rows) - own) / own if 0 < own < len(rows) else 1.0

    return _weights("positive_weights", said, names, rows, balanced)


def _weights(
    key: str,
    said: Said,
    names: Sequence[str],
    rows: Sequence[object],
    balanced: Callable[[int], float],
) -> tuple[float, ...] | None:
    if said is None:
        return None
    if isinstance(said, str):
        if not rows:
            raise DataError(
                f"task.{key}: balanced weights are counted in the training examples, which are none"
            )
        return tuple(map(balanced, range(len(names))))
    for name in said:
        if name not in names:
            raise DataError(
                f"task.{key}: there is no label '{name}'; labels are {', '.join(names[:20])}"
                f"{nearest(name, names)}"
            )
    return tuple(float(said.get(name, 1.0)) for name in names)


def weights_note(task: Task) -> str | None:
    """One sentence on how much labels count, or ``None`` where all count alike."""
    if task.weights is None:
        return None
    ranked = sorted(zip(task.weights, task.labels, strict=True), key=lambda pair: -pair[0])
    shown = ranked if len(ranked) <= _SHOWN else [*ranked[: _SHOWN - 1], ranked[-1]]
    told = [f"{name} {weight:.3g}" for weight, name in shown]
    if len(ranked) > _SHOWN:
        told.insert(-1, "...")
    return f"labels count in the loss on labels: {', '.join(told)}"
