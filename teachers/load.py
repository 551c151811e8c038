"""Loading teachers, with the head that a task needs, and their tokenizers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from distill.errors import ModelError
from students.anatomy import FAMILIES
from students.folder import check_folder, loading, read_config
from students.heads import PARAMETERS, POOLING, head_of
from teachers.labels import align_labels, check_outputs, name_labels
from teachers.resolve import resolve_model

logger = logging.getLogger("distill")


ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
_AUTO: dict[str, Any] = {
    "classification": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "spans": AutoModelForQuestionAnswering,
    "vectors": AutoModel,
}

_TITLES = {"classifier": "classification", "qa_outputs": "question answering"}


def load_tokenizer(
    name: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerFast:
    """The tokenizer that belongs to a model.

    Args:
        name: as for :func:`~teachers.resolve.resolve_model`.
        revision: the hub revision.
        trust_remote_code: allow code that comes with the model to run.

    Raises:
        ModelError: there is none, it is not a fast one, or it has more tokens than the model.
    """
    source = resolve_model(name, revision=revision)
    if isinstance(source, Path) and not any(
        (source / file).is_file() for file in ("tokenizer.json", "vocab.txt")
    ):
        # transformers would make up an empty one.
        raise ModelError(f"{source}: no tokenizer (tokenizer.json or vocab.txt); save it there")
    with loading(source):
        tokenizer = AutoTokenizer.from_pretrained(
            source, revision=revision or "main", trust_remote_code=trust_remote_code
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ModelError(f"{source}: its tokenizer is not a fast one; save a tokenizer.json there")
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{source}: its tokenizer has no padding token; add one and save it")
    if isinstance(source, Path):
        known = read_config(source).get("vocab_size")
        if isinstance(known, int) and len(tokenizer) > known:
            raise ModelError(
                f"{source}: the tokenizer has {len(tokenizer)} tokens and the model only {known}; "
                "give the tokenizer that belongs to the model"
            )
    return tokenizer


def load_teacher(
    name: str | Path,
    *,
    labels: Sequence[str] | None,
    finetuned: bool,
    trust_remote_code: bool = False,
    revision: str | None = None,
    given_labels: Sequence[str] | None = None,
    head: str = "classification",
    problem_type: ProblemType | None = "single_label_classification",
) -> PreTrainedModel:
    """A teacher for a task with outputs that have names, in fp32 and eval mode.

    Without ``finetuned`` it gets a new head, drawn from torch's global generator. With it, the
    head must be there, and its outputs are put into the order of ``labels`` by name (start and end
    of a span, and the one output of a regression, have an order of their own).

    Args:
        name: as for :func:`~teachers.resolve.resolve_model`.
        labels: the task's label names in order; ``None`` takes the model's own.
        finetuned: whether the model's own head is used.
        trust_remote_code: allow code that comes with the model to run.
        revision: the hub revision.
        given_labels: names of the model's outputs in order, in place of those of its config.
        head: ``classification``, ``tokens`` or ``spans``; see :data:`students.heads.HEADS`.
        problem_type: what transformers' config calls the task.

    Raises:
        ModelError: the model cannot be loaded, is no BERT, has no head where one is needed, or
            its labels are not the task's.
    """
    source = resolve_model(name, revision=revision)
    options = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    config = _load_config(source, options)
    if finetuned:
        model = _load(source, config, options, optional=(), head=head)
        if head == "spans" or problem_type == "regression":
            check_outputs(model, labels, where=str(source))
        else:
            align_labels(model, labels, given=given_labels, where=str(source))
        model.config.problem_type = problem_type
        return model
    if labels is None:
        raise ModelError(f"{source}: a new head needs the task's labels")
    name_labels(config, labels)
    config.problem_type = problem_type
    own = PARAMETERS[head]
    model = _load(source, config, options, optional=(f"{own}.", "pooler."), head=head)
    _new_head(cast(nn.Linear, getattr(model, own)), config)
    return model


def load_sentence_encoder(
    name: str | Path,
    *,
    pooling: str,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> PreTrainedModel:
    """An encoder whose outputs are read as vectors of whole texts, in fp32 and eval mode.

    Args:
        name: as for :func:`~teachers.resolve.resolve_model`.
        pooling: ``mean`` or ``cls``; see :func:`students.heads.pool`.
        trust_remote_code: allow code that comes with the model to run.
        revision: the hub revision.

    Raises:
        ModelError: the model cannot be loaded or is no BERT.
    """
    model = load_encoder(name, trust_remote_code=trust_remote_code, revision=revision)
    setattr(model.config, POOLING, pooling)
    return model


def load_encoder(
    name: str | Path, *, trust_remote_code: bool = False, revision: str | None = None
) -> PreTrainedModel:
    """A model's encoder, without the heads it may have, in fp32 and eval mode.

    A pooler that the weights lack is drawn from torch's global generator.

    Args:
        name: as for :func:`~teachers.resolve.resolve_model`.
        trust_remote_code: allow code that comes with the model to run.
        revision: the hub revision.

    Raises:
        ModelError: the model cannot be loaded or is no BERT.
    """
    source = resolve_model(name, revision=revision)
    options = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    config = _load_config(source, options)
    with loading(source):
        model, info = AutoModel.from_pretrained(
            source,
            config=config,
            use_safetensors=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    _check_weights(source, info, model.base_model_prefix, optional=("pooler.",))
    return cast(PreTrainedModel, model.eval())


def load_model(folder: Path) -> PreTrainedModel:
    """A task's model from one of our own folders, stock or pruned, in fp32 and eval mode.

    Raises:
        ModelError: the folder does not hold one.
    """
    source = check_folder(Path(folder))
    options = {"trust_remote_code": False}
    config = _load_config(source, options)
    head = head_of(config)
    if head == "none":
        head = "classification"  # what is missing is told by what a classifier would need
    optional = ("pooler.",) if head == "vectors" else ()
    return _load(source, config, options, optional=optional, head=head)


def _load_config(source: str | Path, options: dict[str, Any]) -> PreTrainedConfig:
    with loading(source):
        config = AutoConfig.from_pretrained(source, **options)
    if config.model_type not in FAMILIES:
        raise ModelError(
            f"{source} is a '{config.model_type}'; teachers and students are BERTs "
            f"(model types that work: {', '.join(FAMILIES)})"
        )
    return cast(PreTrainedConfig, config)


def _load(
    source: str | Path,
    config: PreTrainedConfig,
    options: dict[str, Any],
    *,
    optional: Sequence[str],
    head: str = "classification",
) -> PreTrainedModel:
    """Load a model; weights may be missing or of another shape only where ``optional``."""
    with loading(source):
        model, info = _AUTO[head].from_pretrained(
            source,
            config=config,
            use_safetensors=True,
            # The checkpoint's own type may be half precision, in which training would not work.
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    _check_weights(source, info, model.base_model_prefix, optional=optional)
    return cast(PreTrainedModel, model.eval())


def _check_weights(
    source: str | Path, info: dict[str, Any], prefix: str, *, optional: Sequence[str]
) -> None:
    """Refuse a model some of whose weights are missing or of another shape."""
    mismatched = [entry[0] for entry in info["mismatched_keys"]]
    for key in sorted({*info["missing_keys"], *mismatched}):
        if key.removeprefix(f"{prefix}.").startswith(tuple(optional)):
            continue
        if key.startswith(tuple(f"{name}." for name in PARAMETERS.values())):
            raise ModelError(
                f"{source} has no trained {_TITLES[key.partition('.')[0]]} head; "
                "add teacher.finetune to train one, or give a fine-tuned model"
            )
        fault = "of another shape than its config says" if key in mismatched else "missing"
        raise ModelError(f"{source}: the weights {key} are {fault}; save the model again")


def _new_head(head: nn.Linear, config: PreTrainedConfig) -> None:
    """Draw the head anew, as BERT does, whether or not the checkpoint had one."""
    nn.init.normal_(head.weight, std=config.initializer_range)
    nn.init.zeros_(head.bias)
