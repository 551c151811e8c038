"""Model folders: what they must hold, and loading from them quietly."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from distill.recipe.model_shapes import did_you_mean
from distill.system.errors import ModelError

#: In a bundle the config of a pruned model, beside a ``config.json`` with its family's type. The
#: name is the one that ``transformers`` reads from this version on, if ``config.json`` lists it.
PRUNED_CONFIG = "config.5.0.0.json"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_LONGEST = 300
_LFS = b"version https://git-lfs.github.com/"
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


def check_folder(folder: Path) -> Path:
    """``folder``, if it holds a model that can be loaded: ``config.json`` and safetensors.

    Raises:
        ModelError: it is missing, not a folder, has no config or no weights, or its weights are
            pickles, which can run code when they are read and are never loaded.
    """
    if folder.is_file():
        if folder.suffix in _PICKLES:
            raise ModelError(_pickles(folder.parent, folder.name))
        raise ModelError(f"{folder} is a file; give the folder with config.json and the weights")
    if not folder.is_dir():
        hint = did_you_mean(folder) or "; give a model folder or a hub name"
        raise ModelError(f"{folder}: no such folder{hint}")
    weights = sorted(folder.glob("*.safetensors"))
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if not weights and pickles:
        raise ModelError(_pickles(folder, pickles[0]))
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json; give a folder saved by save_pretrained")
    check_content(folder / "config.json")
    read_config(folder)
    if not weights:
        raise ModelError(f"{folder}: no weights (*.safetensors); save the model there again")
    for path in [*weights, *(folder / name for name in _TOKENIZER_FILES)]:
        check_content(path)
    return folder


def check_content(path: Path) -> None:
    """Refuse what Git leaves in the place of a large file that was not fetched.

    Raises:
        ModelError: the file is a pointer of Git LFS.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        pointer = file.read(len(_LFS)) == _LFS
    if pointer:
        raise ModelError(
            f"{path}: a pointer of Git LFS, not the file itself; in its repository run: git lfs "
            "pull"
        )


def read_config(folder: Path) -> dict[str, Any]:
    """The config of a model folder: ``config.json``, or of a bundle's pruned model its own one.

    Raises:
        ModelError: it is not a JSON mapping.
    """
    pruned = (folder / PRUNED_CONFIG).is_file()
    path = folder / (PRUNED_CONFIG if pruned else "config.json")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path} is not a JSON mapping; save the model there again")
    return config


def _pickles(folder: Path, name: str) -> str:
    # No class is named: every head keeps its weights. The pickle runs no code when read so.
    pattern = "pytorch_model*.bin" if name.startswith("pytorch_model") else name
    code = (
        "import torch, glob; from safetensors.torch import save_file; "
        f"w = {{k: v.clone() for f in glob.glob({json.dumps(f'{folder}/{pattern}')}) "
        'for k, v in torch.load(f, map_location="cpu", weights_only=True).items()}; '
        f'save_file(w, {json.dumps(f"{folder}/model.safetensors")}, {{"format": "pt"}})'
    )
    return (
        f"{folder}: {name} is a pickle, which can run code when read and is not loaded; convert "
        f"it: python -c {shlex.quote(code)}"
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's message, cut where it is very long."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


@contextmanager
def loading(what: str | Path) -> Iterator[None]:
    """Quieten transformers while a model loads, and tell a failure in one line.

    What it would report (new heads, missing tensors) is checked by whoever loads.

    Args:
        what: the folder or hub name, for the message.

    Raises:
        ModelError: loading failed.
    """
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        hint = ""
        if not Path(what).is_dir():
            near = did_you_mean(what)
            hint = near or "; check the name and the network, or give a folder"
        raise ModelError(f"{what} cannot be loaded: {first_line(error)}{hint}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
