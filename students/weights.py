"""The weights of a checkpoint against what its config says: nothing is dropped or made up."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from distill.system.errors import ModelError
from students.family import family_of
from students.folder import loading, read_config
from students.heads import PARAMETERS, head_named
from students.pooling import POOLING

_TITLES = {"classifier": "classification", "qa_outputs": "question answering"}
#: Buffers that older versions of transformers saved, and that follow from the config.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
_TAG = re.compile(r"O|[BIES]-.+")
_GENERIC = re.compile(r"LABEL_\d+")


def check_loaded(
    source: str | Path,
    model: PreTrainedModel,
    info: Mapping[str, Any],
    *,
    optional: Sequence[str] = (),
    keeps_head: bool = True,
) -> None:
    """Refuse a model that is not what its checkpoint holds.

    Args:
        source: the folder or hub name, for messages.
        model: as it was loaded.
        info: what ``from_pretrained(..., output_loading_info=True)`` reports.
        optional: beginnings of names that may be missing or of another shape.
        keeps_head: whether the checkpoint's own head is used; if not, further weights outside the
            encoder may be left aside.

    Raises:
        ModelError: weights are missing, of another shape, unexpected, or not finite numbers.
    """
    prefix = f"{model.base_model_prefix}."
    missing, unexpected = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    mismatched = {entry[0] for entry in info["mismatched_keys"]}
    lacking = [
        name
        for name in sorted({*missing, *mismatched})
        if not name.removeprefix(prefix).startswith(tuple(optional))
    ]
    if lacking and (extra := _renamed(lacking, unexpected, model)):
        raise ModelError(_advice(source, extra))
    heads = tuple(f"{name}." for name in PARAMETERS.values())
    for name in sorted(lacking, key=lambda one: not one.startswith(heads)):
        if name.startswith(heads):
            raise ModelError(
                f"{source} has no trained {_TITLES[name.partition('.')[0]]} head; "
                "add teacher.finetune to train one, or give a fine-tuned model"
            )
        issue = "of another shape than its config says" if name in mismatched else "missing"
        raise ModelError(f"{source}: the weights {name} are {issue}; save the model again")
    _check_unexpected(source, model, unexpected, prefix, keeps_head=keeps_head)
    for name, weight in model.state_dict().items():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise ModelError(
                f"{source}: the weights {name} hold NaN or infinity: the file is damaged or its "
                "training diverged; give another checkpoint"
            )


def _check_unexpected(
    source: str | Path,
    model: PreTrainedModel,
    unexpected: Sequence[str],
    prefix: str,
    *,
    keeps_head: bool,
) -> None:
    family = family_of(model.config.model_type)
    numbered = re.compile(rf"(.*\b{family.layers.rpartition('.')[2]}\.)(\d+)\.")
    for name in unexpected:
        bare = name.removeprefix(prefix)
        if bare in _BUFFERS or bare.startswith(("pooler.", *family.pretraining)):
            continue
        if not bare.startswith(_encoder(model)):
            if not keeps_head:
                continue
            raise ModelError(
                f"{source}: it has weights '{name}' that a {type(model).__name__} would drop; "
                "give a model that transformers saved with this head"
            )
        layer = numbered.match(name)
        depth = int(model.config.num_hidden_layers)
        if layer and int(layer[2]) >= depth:
            last = max(int(m[2]) for m in map(numbered.match, unexpected) if m)
            raise ModelError(
                f"{source}: its weights have {last + 1} layers ({layer[1]}{depth} to "
                f"{layer[1]}{last} would be dropped) and its config.json says "
                f"num_hidden_layers {depth}; fix the config"
            )
        raise ModelError(
            f"{source}: it has weights '{name}' that its config.json says nothing of; give a model "
            "that transformers saved"
        )


def _encoder(model: PreTrainedModel) -> tuple[str, ...]:
    """What names of weights of the encoder begin with, its pooler left out."""
    parts = [name for name, _ in model.base_model.named_children()]
    return tuple(f"{name}." for name in parts if not name.startswith("pooler"))


def _renamed(
    lacking: Sequence[str], unexpected: Sequence[str], model: PreTrainedModel
) -> str | None:
    """What stands before all names of the checkpoint, such as ``module.``; ``None`` for nothing."""
    prefix, parts = f"{model.base_model_prefix}.", _encoder(model)
    inner = next((one for one in lacking if one.removeprefix(prefix).startswith(parts)), None)
    if inner is None:
        return None
    bare = inner.removeprefix(prefix)
    for name in unexpected:
        if name.endswith(f".{bare}"):
            before = name.removesuffix(bare)
            return before.removesuffix(prefix) or before
    return None


def _advice(source: str | Path, extra: str) -> str:
    told = f"{source}: the names of its weights begin with '{extra}'"
    if extra == "module.":
        told += ", as DataParallel writes them"
    if not Path(source).is_dir():
        return f"{told}; save the model again without it"
    code = (
        "from glob import glob; from safetensors.torch import load_file, save_file; "
        f"[save_file({{k.removeprefix({json.dumps(extra)}): w for k, w in load_file(f).items()}}, "
        f'f, {{"format": "pt"}}) for f in glob({json.dumps(f"{source}/*.safetensors")})]'
    )
    return f"{told}; rename them: python -c {shlex.quote(code)}"


def find_head(folder: Path) -> str:
    """The head of a folder's model, by its ``architectures``, else by its weights and labels.

    Args:
        folder: of the model.

    Returns:
        A key of :data:`students.heads.HEADS`; ``none`` for what is none of a task's.

    Raises:
        ModelError: nothing tells a tagger from a classifier.
    """
    config = read_config(folder)
    encoder = "vectors" if config.get(POOLING) else "none"
    if config.get("architectures"):
        return head_named(str(config["architectures"][0])) or encoder
    names: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        with loading(folder), safe_open(file, framework="pt") as content:
            names.update(content.keys())
    if "qa_outputs.weight" in names:
        return "spans"
    if f"{family_of(str(config.get('model_type'))).dense}.weight" in names:
        return "classification"
    if "classifier.weight" not in names:
        return encoder
    labels = [str(name) for name in (config.get("id2label") or {}).values()]
    # A classifier reads its pooler, which taggers have not had since transformers 3.
    pooled = any(".pooler." in f".{name}" for name in names)
    if not pooled or ("O" in labels and all(_TAG.fullmatch(name) for name in labels)):
        return "tokens"
    if not all(_GENERIC.fullmatch(name) for name in labels):
        return "classification"
    raise ModelError(
        f"{folder}: its config.json names no architectures, so nothing says whether its head is a "
        'classifier\'s or a tagger\'s; write "architectures": ["BertForSequenceClassification"] or '
        '["BertForTokenClassification"] there (`distill export` takes --task too)'
    )
