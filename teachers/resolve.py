"""Where a model is: the hub, a folder, or the package of the one that comes along."""

from __future__ import annotations

import re
from pathlib import Path

from distill.recipe.model_shapes import did_you_mean, is_mistyped
from distill.recipe.run_models import model_of_run
from distill.system.errors import ModelError
from distill.system.hub import unreachable
from students.folder import check_folder, loading
from teachers.packaged import PACKAGED, packaged

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def resolve_model(name: str | Path, *, revision: str | None = None) -> str | Path:
    """Where a model is: a checked folder, or the name as it stands for the hub.

    Args:
        name: ``minilm-l6``, the folder of a model or of a run that made one, or a hub name.
        revision: the hub revision; a folder has none.

    Raises:
        ModelError: the folder is missing or holds no model that can be loaded, or the packaged
            model is neither installed nor to be had from the hub, or not the one expected, or the
            hub cannot be reached.
    """
    if name == PACKAGED:
        return packaged()
    path = model_of_run(Path(name).expanduser())
    if path.exists() or not _HUB_NAME.fullmatch(str(name)):
        if revision is not None and path.is_dir():
            raise ModelError(f"teacher.revision: {path} is a folder, which has no revisions")
        return check_folder(path)
    if is_mistyped(str(name)):
        raise ModelError(f"{name}: no such folder{did_you_mean(name)}")
    return _hub_model(str(name), revision)


def model_folder(name: str | Path) -> Path:
    """The folder with a model's files; those of a model of the hub are fetched.

    Args:
        name: as for :func:`resolve_model`.

    Raises:
        ModelError: see :func:`resolve_model`; its weights are pickles, or there are none.
    """
    source = resolve_model(name)
    if isinstance(source, Path):
        return source
    from huggingface_hub import snapshot_download

    with loading(source):
        kept = snapshot_download(source, allow_patterns=["*.json", "*.txt", "*.safetensors"])
    return check_folder(Path(kept))


def _hub_model(name: str, revision: str | None) -> str | Path:
    """The name, or where the hub cannot be asked the folder in which its client keeps the model."""
    from huggingface_hub import try_to_load_from_cache

    if (reason := unreachable()) is None:
        return name
    kept = try_to_load_from_cache(name, "config.json", revision=revision)
    if isinstance(kept, str):
        return check_folder(Path(kept).parent)
    near = did_you_mean(name)
    raise ModelError(f"{name}: {reason}{near or '; check the network, or give a folder'}")
