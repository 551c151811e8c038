"""Model folders: what they must hold, and loading from them quietly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from distill.errors import ModelError

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_LONGEST = 300


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
        raise ModelError(f"{folder}: no such folder; give a model folder or a hub name")
    weights = sorted(folder.glob("*.safetensors"))
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if not weights and pickles:
        raise ModelError(_pickles(folder, pickles[0]))
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json; give a folder saved by save_pretrained")
    read_config(folder)
    if not weights:
        raise ModelError(f"{folder}: no weights (*.safetensors); save the model there again")
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model folder.

    Raises:
        ModelError: it is not a JSON mapping.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{folder}/config.json cannot be read: {first_line(error)}") from error
    if not isinstance(config, dict):
        raise ModelError(f"{folder}/config.json is not a JSON mapping; save the model there again")
    return config


def _pickles(folder: Path, name: str) -> str:
    return (
        f"{folder}: {name} is a pickle, which can run code when read and is not loaded; convert "
        'it where you trust it: python -c "from transformers import '
        f"AutoModelForSequenceClassification as M; M.from_pretrained('{folder}')"
        f".save_pretrained('{folder}')\""
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
        hint = "" if Path(what).is_dir() else "; check the name and the network, or give a folder"
        raise ModelError(f"{what} cannot be loaded: {first_line(error)}{hint}") from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
