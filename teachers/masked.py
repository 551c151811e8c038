"""Loading what proposes words: a BERT with its masked-language head, or its embeddings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedModel

from distill.system.errors import ModelError
from students.family import family_of
from students.folder import loading
from students.weights import check_loaded
from teachers.resolve import resolve_model

_KINDS = ("bert", "pruned_bert")


def load_masked_model(
    name: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedModel | None:
    """A BERT with its masked-language head, in fp32 and eval mode; ``None`` where it has none.

    Args:
        name: as for :func:`teachers.resolve.resolve_model`.
        revision: the hub revision.
        trust_remote_code: allow code that comes with the model to run.

    Raises:
        ModelError: the model cannot be loaded or is no BERT.
    """
    source = resolve_model(name, revision=revision)
    options = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    if _kind(source, options) != "bert":
        return None
    with loading(source), torch.random.fork_rng(devices=[]):
        model, info = AutoModelForMaskedLM.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
        )
    head = f"{family_of(model.config.model_type).mlm}."
    if any(key.startswith(head) for key in info["missing_keys"]):
        return None
    check_loaded(source, model, info, keeps_head=False)
    return cast(PreTrainedModel, model.eval())


def load_embeddings(
    name: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> Tensor:
    """A BERT's input embeddings (vocabulary, hidden size), in fp32.

    Raises:
        ModelError: the model cannot be loaded or is no BERT.
    """
    source = resolve_model(name, revision=revision)
    options = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    _kind(source, options)
    with loading(source), torch.random.fork_rng(devices=[]):
        model, info = AutoModel.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **options
        )
    check_loaded(source, model, info, optional=("pooler.",), keeps_head=False)
    return cast(Tensor, model.get_input_embeddings().weight.detach())


def _kind(source: str | Path, options: dict[str, Any]) -> str:
    with loading(source):
        kind = str(AutoConfig.from_pretrained(source, **options).model_type)
    if kind not in _KINDS:
        raise ModelError(
            f"{source} is a '{kind}'; augmentation needs a BERT, whose vocabulary is one of "
            f"WordPiece (model types that work: {', '.join(_KINDS)})"
        )
    return kind
