"""Rows that stand in the training data and among those that are scored too."""

from __future__ import annotations

from collections.abc import Mapping

from distill.data.split import Split


def shared_rows(splits: Mapping[str, Split]) -> list[str]:
    """One sentence for each split that has texts of the training rows in it.

    Such rows are known by heart rather than understood, so scores on them flatter.

    Args:
        splits: by role; ``train`` is what the others are compared with.
    """
    train = set(_keys(splits["train"]))
    found = []
    for role, split in splits.items():
        count = 0 if role == "train" else sum(key in train for key in _keys(split))
        if count:
            found.append(
                f"{split.name}: {count:,} of {len(split):,} rows stand in the training rows too "
                "(the same text); scores on them flatter"
            )
    return found


def _keys(split: Split) -> list[int]:
    # Hashes stand for the texts: these are numbers for a sentence, and a set of texts is large.
    if split.pairs is None:
        return [hash(text) for text in split.texts]
    return [hash(both) for both in zip(split.texts, split.pairs, strict=True)]
