"""The transformers folder: safetensors, config and tokenizer, as ``from_pretrained`` wants them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

import students.family
import students.pruned
from distill.system.atomic import new_folder
from students.family import PRUNED, family_of


def save_transformers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Write a folder that ``transformers`` loads; what lay there before is replaced as a whole.

    A stock model loads with ``transformers`` alone. A pruned one comes with the two files of its
    classes: it loads after ``import students``, or anywhere with ``trust_remote_code=True``. Its
    labels are those of ``config.id2label``, the tokenizer a fast one.

    Raises:
        OSError: the disk is full or the folder cannot be written; it is then unchanged.
    """
    with new_folder(folder) as temporary, _without_bars():
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        if model.config.model_type.startswith(PRUNED):
            _carry_code(model.config, temporary)


def _carry_code(config: PreTrainedConfig, folder: Path) -> None:
    for module in (students.family, students.pruned):
        source = Path(str(module.__file__))
        code = source.read_text("utf-8").replace("from students.family ", "from .family ")
        (folder / source.name).write_text(code, "utf-8")
    # Written through a copy: the live config stays free of what is only true of a folder.
    copied = type(config).from_dict(config.to_dict())
    copied.architectures = config.architectures
    copied.auto_map = students.pruned.auto_map(family_of(config.model_type).name)
    copied.save_pretrained(folder)


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bar for a file that is written in a moment, and no INFO lines."""
    shown = transformers_logging.is_progress_bar_enabled()
    level = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity(max(level, logging.WARNING))
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if shown:
            transformers_logging.enable_progress_bar()
