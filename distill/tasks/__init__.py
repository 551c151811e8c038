"""Tasks: one package for each kind, with everything that is special about it.

Each has ``config.py`` (the ``task`` section of a recipe and its rules) with its ``CONFIG``,
``task.py`` (examples, head, loss, metrics and error analysis, in torch) with its ``TASK``, and
``decode.py`` (logits to predictions, in numpy) with its ``DECODER``; unlabelled text has a
``config.py`` alone.
They are imported when they are needed: recipes are read, and bundles served, without torch.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.system.errors import ModelError

if TYPE_CHECKING:
    from distill.tasks.base import Task
    from distill.tasks.config import TaskSection
    from distill.tasks.decoder import Decoder

#: Kinds of tasks, as recipes and bundles name them, and their packages.
KINDS: dict[str, str] = {
    "classification": "distill.tasks.classification",
    "multi_label": "distill.tasks.multi_label",
    "ner": "distill.tasks.ner",
    "qa": "distill.tasks.qa",
    "regression": "distill.tasks.regression",
    "ranking": "distill.tasks.ranking",
    "vectors": "distill.tasks.vectors",
    "text": "distill.tasks.text",
}
#: Installed packages add kinds by entry points of this group: ``kind = "package"``.
ENTRY_POINTS = "distill.tasks"
for _entry in entry_points(group=ENTRY_POINTS):
    if KINDS.setdefault(_entry.name, _entry.value) != _entry.value:
        logging.getLogger("distill").warning(
            "task kind '%s' of '%s' is left out: there is one of that name already",
            _entry.name,
            _entry.value,
        )
_on_register: list[Callable[[], Any]] = []


def register(kind: str, package: str) -> None:
    """Add a kind of task, a package with the three files, to this process.

    Raises:
        ValueError: there is another of that name.
    """
    if KINDS.get(kind, package) != package:
        raise ValueError(f"there is a kind of task '{kind}' already: {KINDS[kind]}")
    KINDS[kind] = package
    for refresh in _on_register:
        refresh()


def on_register(refresh: Callable[[], Any]) -> None:
    """Have a function called whenever a kind is added; for what is built of all kinds."""
    _on_register.append(refresh)


def _part(kind: str, name: str) -> Any:
    """A module of a kind's package; a ModelError of one from outside that cannot be imported."""
    try:
        return importlib.import_module(f"{KINDS[kind]}.{name}")
    except ImportError as error:
        if KINDS[kind].startswith(f"{__name__}."):
            raise
        raise ModelError(
            f"task.kind: the package '{KINDS[kind]}' of the kind '{kind}' cannot be imported "
            f"({error}); fix or uninstall it"
        ) from error


def config_class(kind: str) -> type[TaskSection]:
    """The ``task`` section of one of :data:`KINDS`."""
    config: type[TaskSection] = _part(kind, "config").CONFIG
    return config


def predicting() -> list[str]:
    """The kinds whose models predict something."""
    return [kind for kind in KINDS if not config_class(kind).learns_text]


def make_task(config: TaskSection, labels: Sequence[str], examples: Sequence[Any] = ()) -> Task:
    """The task that a recipe's ``task`` section describes; see :class:`Task`.

    Raises:
        DataError: the metric or a weight does not fit the labels.
    """
    settings = {key: value for key, value in config if key not in ("kind", "labels")}
    return task_class(config.kind)(labels, examples, **settings)


def make_decoder(
    kind: str,
    labels: Sequence[str],
    settings: Mapping[str, Any],
    *,
    max_length: int = 512,
    folder: Path = Path(),
) -> Decoder:
    """What reads texts for a bundle's model, and turns its outputs into predictions.

    Raises:
        ModelError: the kind is unknown, or the settings cannot be used.
    """
    if kind not in KINDS:
        raise ModelError(f"{folder}: a bundle for '{kind}'; this version knows {', '.join(KINDS)}")
    return decoder_class(kind)(labels, settings, max_length=max_length, folder=folder)


def decoder_class(kind: str) -> type[Decoder]:
    """The decoder of one of :data:`KINDS`; what is known of it without a model."""
    decoder: type[Decoder] = _part(kind, "decode").DECODER
    return decoder


def task_class(kind: str) -> type[Task]:
    """The task of one of :data:`KINDS`."""
    task: type[Task] = _part(kind, "task").TASK
    return task


def kind_of_model(head: str, problem: str | None, outputs: int) -> str | None:
    """The first kind that a model's head and config fit; ``None`` where none does.

    Args:
        head: a key of :data:`students.heads.HEADS`.
        problem: ``problem_type`` of the config.
        outputs: how many outputs the head has.
    """
    if problem is None:  # as transformers reads it too: one output is no choice
        problem = "regression" if outputs == 1 else "single_label_classification"
    for kind in predicting():
        task = task_class(kind)
        if task.head == head and task.problem_type in (None, problem):
            return kind
    return None
