"""Checking a teacher's labels against the task's by name, and putting them in its order."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import cast

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from distill.system.errors import ModelError
from students.heads import last_linear

logger = logging.getLogger("distill")

_GENERIC = re.compile(r"label_\d+", re.IGNORECASE)


def name_labels(config: PreTrainedConfig, labels: Sequence[str]) -> None:
    """Write a task's label names into a config, in order."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}


def align_labels(
    model: PreTrainedModel,
    labels: Sequence[str] | None,
    *,
    given: Sequence[str] | None = None,
    where: str,
) -> None:
    """Put a classifier's outputs into the order of ``labels``, matching them by name.

    Label orders differ between the same task's models (MNLI has two in use), and a teacher read
    in the wrong one teaches nonsense without an error. Case does not matter where names stay apart
    without it.

    Args:
        model: changed in place.
        labels: the task's names in order; ``None`` takes the model's own.
        given: names of the model's outputs in order, in place of those of its config.
        where: the model's folder or name, for messages.

    Raises:
        ModelError: the outputs have no names, or other ones.
    """
    own = _own_names(model, labels, given, where)
    wanted = own if labels is None else list(labels)
    order = _order(own, wanted)
    if order is None:
        raise ModelError(
            f"{where}: its labels are {_list(own)} and the data's are {_list(wanted)}; name its "
            "outputs in order in teacher.labels, or add teacher.finetune"
        )
    if order != list(range(len(order))):
        head = last_linear(model)
        with torch.no_grad():
            head.weight.copy_(head.weight[order].clone())
            head.bias.copy_(head.bias[order].clone())
        logger.info(
            "teacher: its labels %s are put into the data's order %s", _list(own), _list(wanted)
        )
    name_labels(model.config, wanted)


def check_outputs(model: PreTrainedModel, labels: Sequence[str] | None, *, where: str) -> None:
    """Name a head's outputs where their order is fixed and only their number can be wrong.

    Raises:
        ModelError: it has another number of outputs.
    """
    wanted = ["score"] if labels is None else list(labels)
    found = int(model.config.num_labels or 0)
    if found != len(wanted):
        raise ModelError(
            f"{where}: its head has {found} outputs, and the task has {len(wanted)} "
            f"({_list(wanted)}); add teacher.finetune to train a new one"
        )
    name_labels(model.config, wanted)


def _own_names(
    model: PreTrainedModel, labels: Sequence[str] | None, given: Sequence[str] | None, where: str
) -> list[str]:
    names = cast("dict[int, str]", model.config.id2label)
    own = [str(names[number]) for number in sorted(names)]
    if given is not None:
        if len(given) != len(own):
            raise ModelError(
                f"teacher.labels names {len(given)} outputs ({_list(given)}); "
                f"{where} has {len(own)}"
            )
        return list(given)
    generic = all(_GENERIC.fullmatch(name) for name in own)
    if generic and labels is not None and sorted(own) != sorted(labels):
        raise ModelError(
            f"{where}: its outputs have no names ({_list(own)}), so their order cannot be checked; "
            f"name them in order in teacher.labels, such as {_list(labels)}"
        )
    return own


def _order(own: list[str], wanted: list[str]) -> list[int] | None:
    """For each wanted label the number of the output with its name, or ``None``."""
    for form in (str, str.casefold):
        ours, theirs = [form(name) for name in wanted], [form(name) for name in own]
        if sorted(ours) == sorted(theirs) and len(set(theirs)) == len(theirs):
            return [theirs.index(name) for name in ours]
    return None


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"
