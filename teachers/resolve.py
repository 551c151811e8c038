"""Where a model is: the hub, a folder, or the package of the one that comes along."""

from __future__ import annotations

import re
from pathlib import Path

from distill.errors import ModelError
from distill.recipe.run_models import model_of_run
from students.folder import check_folder
from teachers.packaged import PACKAGED, packaged

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def resolve_model(name: str | Path, *, revision: str | None = None) -> str | Path:
    """Where a model is: a checked folder, or the name as it stands for the hub.

    Args:
        name: ``minilm-l6``, the folder of a model or of a run that made one, or a hub name.
        revision: the hub revision; a folder has none.

    Raises:
        ModelError: the folder is missing or holds no model that can be loaded, or the packaged
            model is neither installed nor to be had from the hub, or not the one expected.
    """
    if name == PACKAGED:
        return packaged()
    path = model_of_run(Path(name).expanduser())
    if path.exists() or not _HUB_NAME.fullmatch(str(name)):
        if revision is not None and path.is_dir():
            raise ModelError(f"teacher.revision: {path} is a folder, which has no revisions")
        return check_folder(path)
    return str(name)
