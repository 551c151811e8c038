"""What a run folder keeps of each start: machine and versions, the log, and facts of the data."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.run_folder import RunFolder
from distill.system import atomic

if TYPE_CHECKING:
    from distill.stages.workspace import Workspace

logger = logging.getLogger("distill")


def record_environment(folder: RunFolder) -> None:
    """Append machine and versions of this start; say so when they changed since the last."""
    from distill.evaluation.machine import machine

    file = folder.environment
    before = json.loads(file.read_text("utf-8")) if file.is_file() else []
    now = machine()
    if before and before[-1]["machine"] != now:
        changed = sorted(k for k in now if before[-1]["machine"].get(k) != now[k])
        logger.info("resumed on another machine or with other versions: %s", ", ".join(changed))
    started = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    atomic.write_json(file, [*before, {"started": started, "machine": now}])


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Write messages to ``log.txt`` too."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def write_data_facts(folder: RunFolder, workspace: Workspace) -> None:
    """Write how many examples there are, what was noted of them, and how many are cut.

    Rows are tokenised for that, as the stages need them. Unlabelled text has no rows before it is
    packed, and no such file.
    """
    # Heavy: the data room comes with it.
    from distill.data.bad_rows import write_bad_rows

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
