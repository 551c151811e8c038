"""What a run folder tells of its rows: ``data.json``, and ``bad_rows.jsonl`` where any are bad."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from distill.data.bad_rows import write_bad_rows
from distill.run_folder import RunFolder
from distill.system import atomic

if TYPE_CHECKING:
    from distill.stages.workspace import Workspace

logger = logging.getLogger("distill")


def write_data_facts(folder: RunFolder, workspace: Workspace) -> None:
    """Write how many rows there are, what was noted of them, and how many are cut.

    Rows are tokenised for that, as the stages need them. Unlabelled text has no rows before it is
    packed, and no such file.

    Args:
        folder: the run folder.
        workspace: the run's data and tokenizer.
    """
    if workspace.learns_text:
        return
    data = workspace.data
    splits = {"train": data.train, "validation": data.validation}
    max_length = workspace.recipe.data.max_length
    limit = min(workspace.tokenizer.model_max_length, 1 << 20)  # some say 10^30
    cut: dict[str, Any] = {}
    notes: list[str] = []
    for role, split in splits.items():
        rows = workspace.tokenized(split)
        notes += [f"{role}: {note}" for note in rows.notes(max_length=max_length, limit=limit)]
        if (facts := rows.cut_facts(limit=limit)) is not None:
            cut[role] = facts
    for note in notes:
        logger.info("data: %s", note)
    others = {"test": data.test} if data.test is not None else {}
    content: dict[str, Any] = {
        "schema": 1,
        "rows": {name: len(one) for name, one in {**splits, **others, **data.more}.items()},
        "bad": len(data.bad),
        "max_length": max_length,
        "cut": cut,
        "notes": [*data.notes, *notes],
    }
    atomic.write_json(folder.data, content)
    if data.bad:
        write_bad_rows(folder.bad_rows, data.bad)
    else:
        folder.bad_rows.unlink(missing_ok=True)
