"""What a model says of a text, and which number of it is explained.

Legend: S texts, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from distill.errors import ModelError

#: Task kinds with one row of outputs for a text.
SENTENCE_TASKS = ("classification", "multi_label", "regression")
#: The probability above which a label is told where nothing else is said.
THRESHOLD = 0.5


def check_task(task: str, where: str) -> None:
    """Refuse a task whose outputs are not of a whole text.

    Raises:
        ModelError: its kind is another.
    """
    if task not in SENTENCE_TASKS:
        raise ModelError(
            f"{where}: a model of task.kind '{task}' cannot be inspected yet; "
            f"works for: {', '.join(SENTENCE_TASKS)}"
        )


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
