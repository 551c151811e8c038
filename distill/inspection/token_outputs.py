"""Outputs by token: which token's tag, or which answer, is explained.

Legend: S texts, L tokens, C tags.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import BatchEncoding

from distill.errors import DataError, ModelError
from distill.inspection.outputs import Choice, Target, choose_label

#: The tag of what is no entity.
OUTSIDE = "O"
_LONGEST_ANSWER = 30


def tag_target(
    encoded: BatchEncoding,
    logits: Tensor,
    labels: Sequence[str],
    *,
    texts: Sequence[str],
    asked: Choice,
    word: str | None = None,
) -> Target:
    """The tag of one token: its logit minus the mean of the other tags'.

    Args:
        encoded: the text as tokens.
        logits: its tags' logits, (L, C).
        labels: the tags.
        texts: the text, and the second one where there is one.
        asked: the token's place and the tag; what is missing is chosen: the surest token with an
            entity's tag (without any, the surest of all), and its likeliest tag.
        word: the word whose tag is explained, where no place is asked for.

    Raises:
        DataError: the word is not in what the model reads.
        ModelError: there is no such tag, or the place was cut off.
    """
    shares = logits.softmax(dim=-1)  # (L, C)
    at = _token(encoded, asked.place, shares, labels, texts, word)
    outputs = dict(zip(labels, shares[at].tolist(), strict=True))
    label = choose_label(outputs, asked.label or None, "--label")
    number = list(labels).index(label)
    others = [k for k in range(len(labels)) if k != number]
    place = _place(encoded, at, at)
    told = texts[place[0]][place[1] : place[2]]
    return Target(
        words=f"the logit of '{label}' at '{told}' minus the mean of the other labels' logits",
        number=lambda found: found[:, at, number] - found[:, at, others].mean(dim=-1),
        outputs=outputs,
        predicted=max(outputs, key=lambda name: outputs[name]),
        choice=Choice(label, place),
    )


def _token(
    encoded: BatchEncoding,
    place: tuple[int, int, int] | None,
    shares: Tensor,
    labels: Sequence[str],
    texts: Sequence[str],
    word: str | None,
) -> int:
    if place is not None:
        return _at(encoded, place[0], place[1])
    real = [at for at, text in enumerate(encoded.sequence_ids(0)) if text is not None]
    if word is not None:
        for at in real:
            text, start, _ = _place(encoded, at, at)
            if texts[text].startswith(word, start):
                return at
        raise DataError(f"--word: '{word}' is not in what the model reads of the text")
    sure, tags = shares.max(dim=-1)
    entities = [at for at in real if labels[int(tags[at])] != OUTSIDE]
    return max(entities or real, key=lambda at: float(sure[at]))


def _place(encoded: BatchEncoding, first: int, last: int) -> tuple[int, int, int]:
    """Which text some tokens are of, and their first and last character in it."""
    text = encoded.sequence_ids(0)[first]
    begins, ends = encoded.token_to_chars(0, first), encoded.token_to_chars(0, last)
    if begins is None or ends is None:
        raise ModelError("the tokenizer does not tell which characters its tokens are of")
    return int(text or 0), int(begins.start), int(ends.end)


def _at(encoded: BatchEncoding, text: int, character: int) -> int:
    at = encoded.char_to_token(0, character, sequence_index=text)
    if at is None:
        raise ModelError(
            "the other model does not read the place that is explained; give a shorter text"
        )
    return int(at)


def span_target(
    encoded: BatchEncoding, logits: Tensor, *, texts: Sequence[str], asked: Choice
) -> Target:
    """An answer: the logit of its start and that of its end.

    Args:
        encoded: question and text as tokens.
        logits: of start and end, (L, 2).
        texts: the question, and the text that answers it.
        asked: the answer's place; left out, the likeliest answer.

    Raises:
        ModelError: the place was cut off.
    """
    inside = torch.tensor([text == 1 for text in encoded.sequence_ids(0)])  # (L,)
    shares = logits.masked_fill(~inside[:, None], -torch.inf).softmax(dim=0)  # (L, 2)
    both = shares[:, :1] * shares[:, 1]  # (L, L): start by end
    length = torch.ones_like(both)
    both = both * length.triu() * length.tril(_LONGEST_ANSWER - 1)
    best = divmod(int(both.argmax()), len(shares))
    answer = _told(encoded, best, texts)
    outputs = {answer: float(both[best])}
    start, end = best
    if asked.place is not None:
        text, first, last = asked.place
        start, end = _at(encoded, text, first), _at(encoded, text, last - 1)
    told = _told(encoded, (start, end), texts)
    outputs.setdefault(told, float(shares[start, 0] * shares[end, 1]))
    return Target(
        words=f"the logits of start and end of the answer '{told}'",
        number=lambda found: found[:, start, 0] + found[:, end, 1],
        outputs=outputs,
        predicted=answer,
        choice=Choice(place=_place(encoded, start, end)),
    )


def _told(encoded: BatchEncoding, span: tuple[int, int], texts: Sequence[str]) -> str:
    text, start, end = _place(encoded, *span)
    return texts[text][start:end]
