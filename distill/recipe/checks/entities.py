"""Faults of recipes for named entities, and of what only they have elsewhere."""

from __future__ import annotations

import re

from distill.recipe.checks.findings import Findings
from distill.recipe.schema import LabelledTask, NerTask, Recipe

#: Special tokens of a window, as BERT has them.
_SPECIAL = 2
_OURS = ("tokens", "tags")
_OTHERS = ("text", "text_pair", "label")
_PREFIXES = {"bio": "BI", "bioes": "BIES"}


def entities(recipe: Recipe) -> Findings:
    """What does not go together with words and tags, and what only they have."""
    task, data = recipe.task, recipe.data
    # A resolved recipe names every column, most of them as they are without a word.
    fields = type(data.columns).model_fields
    named = [name for name in fields if getattr(data.columns, name) != fields[name].default]
    if not isinstance(task, NerTask):
        for column in _OURS if isinstance(task, LabelledTask) else ():
            if column in named:
                yield ("data", "columns", column), "only for task.kind: ner; leave it out"
        return
    for column in _OTHERS:
        if column in named:
            yield ("data", "columns", column), "words and tags have the columns tokens and tags"
    if data.columns.tokens == data.columns.tags:
        yield ("data", "columns", "tags"), f"'{data.columns.tags}' is the column of 'tokens' too"
    if data.source == "builtin":
        yield ("data", "source"), "the built-in data have no entities; take files or hub"
    if task.stride is not None and task.stride >= data.max_length - _SPECIAL:
        yield (
            ("task", "stride"),
            f"windows of {data.max_length} tokens ({_SPECIAL} of them special) cannot share "
            f"{task.stride}; write less, or raise data.max_length",
        )
    yield from _labels(task)
    for index, stage in enumerate(recipe.stages):
        if stage.kind == "augment":
            yield (
                ("stages", index, "kind"),
                "'augment' replaces words, after which tags no longer stand where they did; "
                "leave it out",
            )


def _labels(task: NerTask) -> Findings:
    """Labels are tags of the scheme, or types of entities alone."""
    labels = task.labels or []
    if not any(label == "O" or re.match("[BIES]-.", label) for label in labels):
        return
    prefixes = _PREFIXES[task.scheme]
    for index, label in enumerate(labels):
        if label != "O" and not re.match(f"[{prefixes}]-.", label):
            known = ", ".join(f"{prefix}-TYPE" for prefix in prefixes)
            yield (
                ("task", "labels", index),
                f"'{label}' is no tag of the scheme {task.scheme} ({known} or O)",
            )
