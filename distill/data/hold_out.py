"""Rows held out of the training examples for validation: which, and whether there are enough.

Legend: N training examples.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from distill.data.split import Group, Split
from distill.system.errors import DataError, listed

#: One row in so many is held out.
SHARE = 10
#: The seed's stream of random numbers for this.
_STREAM = 0
#: Stands for the labels of a row without any.
_NONE = -1
#: Of numbers so many examples are held out at least: a correlation of fewer says nothing.
_NUMBERS = 3
_ADVICE = "give data.validation, or more examples"


def hold_out(
    train: Split, labels: Sequence[str], seed: int, *, place: str, notes: list[str]
) -> tuple[Split, Split]:
    """Split the training examples: nine tenths to learn from, one to choose by, both in order.

    Rows are drawn by label, so that each label stands in both parts in its own share, and at least
    once where two rows have it. Labels here are the label of a row, each of several labels, the
    types of a row's entities, whether a question has an answer. Of numbers one row is drawn from
    every tenth of their order. What is drawn depends on the seed and on the rows alone. ``notes``
    gets a sentence on it, and on labels that are not in both parts.

    Raises:
        DataError: there are too few rows for two parts that say something.
    """
    random = np.random.default_rng([seed, _STREAM])
    groups, labels = train.groups, train.group_names(labels)
    held = _by_number(train.labels, random) if groups is None else _by_label(groups, random)
    if not held:
        raise DataError(f"{place}: {_too_few(len(train))}; {_ADVICE}")
    notes.append(
        f"no validation data: {len(held):,} of {len(train):,} training examples are held out for it"
    )
    if groups is not None and labels:
        notes += _note(train, groups, held, labels, place)
    rest = np.delete(np.arange(len(train)), held)
    return train.take(rest), replace(train.take(held), name="validation")


def _by_label(groups: Sequence[Group], random: np.random.Generator) -> list[int]:
    """Draw rows label by label, the rarest first, and leave each label a row to learn from."""
    rows: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
    for row, group in enumerate(groups):
        for label in group or (_NONE,):
            rows[label].append(row)
    turn = np.argsort(random.permutation(len(groups)))  # when each row is drawn
    left = {label: len(own) for label, own in rows.items()}
    wanted = _wanted(left, max(1, len(groups) // SHARE) / len(groups))
    held: set[int] = set()
    drawn: Counter[int] = Counter()
    for label in sorted(rows, key=lambda one: (len(rows[one]), one)):
        own_rows = np.asarray(rows[label])
        for row in own_rows[np.argsort(turn[own_rows])].tolist():
            if drawn[label] >= wanted[label]:
                break
            own = groups[row] or (_NONE,)
            if row not in held and all(left[one] > 1 for one in own):
                held.add(row)
                for one in own:
                    drawn[one] += 1
                    left[one] -= 1
    return sorted(held)


def _wanted(counts: Mapping[int, int], share: float) -> dict[int, int]:
    exact = {label: count * share for label, count in counts.items()}
    found = {label: int(value) for label, value in exact.items()}
    missing = round(sum(exact.values())) - sum(found.values())
    by_remainder = sorted(exact, key=lambda label: (found[label] - exact[label], label))
    for label in by_remainder[:missing]:
        found[label] += 1
    return {label: min(max(1, value), counts[label] - 1) for label, value in found.items()}


def _by_number(numbers: Sequence[float], random: np.random.Generator) -> list[int]:
    size = max(_NUMBERS, len(numbers) // SHARE)
    if len(numbers) < 2 * size:
        return []
    order = random.permutation(len(numbers))
    order = order[np.argsort(np.asarray(numbers)[order], kind="stable")]
    return sorted(int(random.choice(block)) for block in np.array_split(order, size))


def _too_few(rows: int) -> str:
    return f"{rows:,} example{'s' * (rows != 1)} are too few to hold some out for validation"


def _note(
    train: Split, groups: Sequence[Group], held: Sequence[int], labels: Sequence[str], place: str
) -> list[str]:
    """A note on the labels that no held-out example has: no score looks at them.

    Raises:
        DataError: the held-out examples cannot tell a good model from one that always says the
            same.
    """
    seen = {label for row in held for label in groups[row]}
    one_each = all(isinstance(label, int) for label in train.labels)
    if not seen or (one_each and len(seen) < 2):
        none = f"would have no {train.labelled}"
        have = f"would all have the label '{labels[min(seen)]}'" if seen else none
        raise DataError(f"{place}: {_too_few(len(groups))}: those held out {have}; {_ADVICE}")
    rare = sorted({label for group in groups for label in group} - seen)
    if not rare:
        return []
    names = listed(labels[label] for label in rare)
    return [
        f"{place}: too few examples have the label {names} to hold one out: all are learned "
        "from, and no score on the validation examples looks at it"
    ]
