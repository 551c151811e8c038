"""What a model says of a text, and which number of it is explained.

Legend: S texts, L tokens, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from distill.errors import ModelError

#: Task kinds with one row of outputs for a text, and those with one for each token.
SENTENCE_TASKS = ("classification", "multi_label", "regression")
TOKEN_TASKS = ("ner", "qa")
#: The probability above which a label is told where nothing else is said.
THRESHOLD = 0.5


@dataclass(frozen=True)
class Choice:
    """What is explained, so that another model can be explained for the same.

    Args:
        label: the label; empty where there is none.
        place: of outputs by token: which text (0 or 1), and the first and last character in it.
    """

    label: str = ""
    place: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Target:
    """What a model says, and the number that is explained.

    Args:
        words: the number in words.
        number: the number as a function of logits (S, C), (S, L, C) or (S, L, 2); gives (S,).
        outputs: what it says, by label.
        predicted: what it chooses.
        choice: what is explained.
    """

    words: str
    number: Callable[[Tensor], Tensor]
    outputs: dict[str, float]
    predicted: str
    choice: Choice


def check_task(task: str, where: str) -> None:
    """Refuse a task without an output to explain.

    Raises:
        ModelError: its kind is none of those known here.
    """
    known = (*SENTENCE_TASKS, *TOKEN_TASKS)
    if task not in known:
        raise ModelError(
            f"{where}: a model of task.kind '{task}' has no output to explain; "
            f"works for: {', '.join(known)}"
        )


def sentence_target(
    logits: Tensor,
    labels: Sequence[str],
    task: str,
    *,
    thresholds: float | dict[str, float] = THRESHOLD,
    asked: str | None = None,
    where: str = "",
) -> Target:
    """What is told and explained of a text's outputs (C,).

    Args:
        logits: the text's, (C,).
        labels: their names.
        task: one of :data:`SENTENCE_TASKS`.
        thresholds: above which probability a label is told, where there may be several.
        asked: the label that is explained; left out, the one with the largest output.
        where: the model's folder, for messages.

    Raises:
        ModelError: there is no such label.
    """
    outputs = told_outputs(logits, labels, task)
    label = choose_label(outputs, asked, where)
    words, number = explained(task, label, labels)
    predicted = told_prediction(outputs, task, thresholds)
    return Target(words, number, outputs, predicted, Choice(label))


def told_outputs(logits: Tensor, labels: Sequence[str], task: str) -> dict[str, float]:
    """Logits (C,) as what they mean: probabilities, or the value of a regression."""
    if task == "regression":
        values = logits
    else:
        values = logits.softmax(-1) if task == "classification" else logits.sigmoid()
    return dict(zip(labels, values.tolist(), strict=True))


def told_prediction(
    outputs: dict[str, float], task: str, thresholds: float | dict[str, float] = THRESHOLD
) -> str:
    """The label that is chosen, the labels of several, or the value in words."""
    if task == "regression":
        return f"{next(iter(outputs.values())):.4f}"
    if task == "classification":
        return max(outputs, key=lambda label: outputs[label])
    if isinstance(thresholds, float):
        thresholds = dict.fromkeys(outputs, thresholds)
    chosen = [k for k, share in outputs.items() if share > thresholds.get(k, THRESHOLD)]
    return ", ".join(chosen) or "none"


def choose_label(outputs: dict[str, float], asked: str | None, where: str) -> str:
    """The label that is explained: the one asked for, else the one the student gives most to.

    Raises:
        ModelError: there is no such label.
    """
    if asked is None:
        return max(outputs, key=lambda label: outputs[label])
    if asked not in outputs:
        raise ModelError(f"{where}: no label '{asked}'; it has {', '.join(outputs)}")
    return asked


def explained(
    task: str, label: str, labels: Sequence[str]
) -> tuple[str, Callable[[Tensor], Tensor]]:
    """Which number is explained: in words, and as a function of logits (S, C).

    Of a single-label task it is the label's logit minus the mean of the others', which, unlike the
    logit alone, stays the same when all logits move together; with two labels it is the log-odds.
    """
    if task == "regression":
        return "the predicted value", lambda logits: logits[:, 0]
    at = list(labels).index(label)
    if task == "multi_label" or len(labels) == 1:
        return f"the log-odds of '{label}'", lambda logits: logits[:, at]
    others = [index for index in range(len(labels)) if index != at]

    def margin(logits: Tensor) -> Tensor:
        return logits[:, at] - logits[:, others].mean(dim=-1)  # (S,)

    if len(labels) == 2:
        return f"the log-odds of '{label}' against '{labels[others[0]]}'", margin
    return f"the logit of '{label}' minus the mean of the other labels' logits", margin
