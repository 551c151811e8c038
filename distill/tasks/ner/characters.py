"""What a teacher with another tokenizer says of the student's words, character by character.

Legend: M words of the student that have a label, N of the teacher, of all texts; C tags.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.tasks.base import LEAST
from distill.tasks.decoder import softmax
from distill.tasks.ner.tokens import IGNORED, TaggedDataset
from distill.text.tags import TagSet

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def by_characters(
    logits: npt.NDArray[np.float32],
    theirs: TaggedDataset,
    ours: TaggedDataset,
    *,
    tag_set: TagSet,
) -> npt.NDArray[np.float32]:
    r"""A teacher's logits of its own tokens as logits of the student's tokens.

    Every character c of a word of the teacher has the word's distribution over the tags,
    :math:`q_c = \mathrm{softmax}(z_{w(c)})`, of the window in which the word is read when it is
    served. A word of the student, whose tag is read at its first subword with the characters S,
    gets

    .. math:: p = \frac{1}{|S|} \sum_{c \in S} q_c, \qquad z = \log \max(p, 10^{-9})

    (over the characters that are in a word of the teacher; where none is, the word is outside of
    entities). Of several words of the student that start in one word of the teacher only the first
    begins an entity and only the last ends it: tags of the others are those of its inside.

    See :meth:`Task.carried`. Tokens of the student without a label have the logits 0.
    """
    shares = softmax(logits[theirs.labels != IGNORED])  # (N, C)
    stride = 1 + max(int(one.chars.max(initial=0)) for one in (theirs, ours))
    starts, _, ends = _places(theirs, stride)  # (N,) each
    begins, first_ends, _ = _places(ours, stride)  # (M,) each
    low = np.searchsorted(ends, begins, side="right")  # the first word that shares a character
    high = np.searchsorted(starts, first_ends, side="left")  # the one behind the last
    found = np.zeros((len(begins), len(tag_set.labels)))  # (M, C)
    for step in range(int((high - low).max(initial=0))):
        mine = np.flatnonzero(low + step < high)
        word = low[mine] + step
        shared = np.minimum(first_ends[mine], ends[word]) - np.maximum(begins[mine], starts[word])
        found[mine] += shared[:, None] * _respelled(
            shares[word], tag_set, _ends_of(mine, begins, starts[word], ends[word])
        )
    total = found.sum(axis=1)
    found[total == 0, tag_set.outside] = 1.0
    found /= np.where(total == 0, 1.0, total)[:, None]
    carried = np.zeros((len(ours.labels), len(tag_set.labels)), dtype=np.float32)
    carried[ours.labels != IGNORED] = np.log(np.maximum(found, LEAST))
    return carried


def cut_alike(theirs: TaggedDataset, ours: TaggedDataset) -> bool:
    """Whether both have as many tokens, and the same words at them, so that nothing is moved."""
    return (
        np.array_equal(theirs.lengths, ours.lengths)
        and np.array_equal(theirs.labels != IGNORED, ours.labels != IGNORED)
        and np.array_equal(theirs.chars, ours.chars)
    )


def _places(rows: TaggedDataset, stride: int) -> list[Ints]:
    """The columns of ``chars`` with the texts one behind another, each ``stride`` long."""
    texts = np.repeat(rows.rows, np.diff(rows.word_starts))  # of each labelled token
    return [texts * stride + column for column in rows.chars.T.astype(np.int64)]


def _ends_of(
    mine: Ints, begins: Ints, starts: Ints, ends: Ints
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether words of the student are the first and the last that start in the teacher's."""
    before = begins[mine] < starts  # it starts in another word already
    first = mine == np.searchsorted(begins, starts, side="left")
    last = mine == np.searchsorted(begins, ends, side="left") - 1
    return before | first, before | last


def _respelled(shares: Floats, tag_set: TagSet, ends: tuple[Any, Any]) -> Floats:
    """Shares of the tags of whole words, (N, C), as those of parts of the words."""
    found = shares.copy()
    for first, last in product((True, False), repeat=2):
        part = (ends[0] == first) & (ends[1] == last)
        if (first and last) or not part.any():
            continue
        moved = np.zeros((int(part.sum()), shares.shape[1]))
        for tag, other in enumerate(tag_set.inside(first=first, last=last)):
            moved[:, other] += shares[part, tag]
        found[part] = moved
    return found
