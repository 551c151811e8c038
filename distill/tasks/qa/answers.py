"""Exact match and F1 of answers, as SQuAD's evaluation script counts them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize(text: str) -> str:
    """An answer in lower case, without punctuation, articles and repeated white space.

    Example:
        >>> normalize("The  Eiffel-Tower!")
        'eiffeltower'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(answer: str, gold: str) -> float:
    """1 where two answers are the same once normalised, else 0."""
    return float(normalize(answer) == normalize(gold))


def f1(answer: str, gold: str) -> float:
    r"""F1 :math:`2PR/(P+R)` over the words that two normalised answers share.

    Where one of them has no words, 1 if neither has, else 0.
    """
    ours, theirs = normalize(answer).split(), normalize(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


def best_of(answer: str, golds: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 with the gold answer that is nearest by each.

    Args:
        answer: what was answered; the empty text says that nothing answers.
        golds: the right answers. As in SQuAD 2, those without words do not count, and where none
            is left the right answer is the empty text.
    """
    right = [gold for gold in golds if normalize(gold)] or [""]
    return (
        max(exact_match(answer, gold) for gold in right),
        max(f1(answer, gold) for gold in right),
    )
