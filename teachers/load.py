"""Loading teachers, with the head that a task needs, and their tokenizers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors.torch import load_file
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
from transformers.utils.hub import cached_file

from distill.recipe.run_models import model_of_run, sentence_root
from distill.system.errors import ModelError
from students.family import MODEL_TYPES
from students.folder import check_folder, loading, read_config
from students.heads import activation_of, class_of, last_linear
from students.pooling import DENSE, POOLING
from students.sentence_modules import SentenceModules, prepared, read_modules
from students.weights import check_loaded, find_head
from teachers.case import case_warning
from teachers.labels import align_labels, check_outputs, name_labels
from teachers.resolve import resolve_model

logger = logging.getLogger("distill")


ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
_AUTO: dict[str, Any] = {
    "classification": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "spans": AutoModelForQuestionAnswering,
    "vectors": AutoModel,
    "none": AutoModel,
}


def load_tokenizer(
    name: str | Path,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    for_vectors: bool = False,
    written_here: bool = False,
) -> PreTrainedTokenizerFast:
    """The tokenizer that belongs to a model.

    Where its vocabulary and what it does to capital letters do not fit together, a warning says so.

    Args:
        name: as for :func:`~teachers.resolve.resolve_model`.
        revision: the hub revision.
        trust_remote_code: allow code that comes with the model to run.
        for_vectors: whether texts are read as a sentence encoder's folder says (case and prompt).
        written_here: whether this run wrote the folder, from a tokenizer that was looked at.

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
    modules = sentence_modules(source, revision=revision) if for_vectors else None
    has_setting = hasattr(tokenizer, "do_lower_case")
    if modules is not None:
        tokenizer = prepared(tokenizer, modules)
    found = None if written_here else case_warning(tokenizer, source, has_setting=has_setting)
    if found is not None:
        logger.warning("%s", found)
    return tokenizer


def sentence_modules(name: str | Path, *, revision: str | None = None) -> SentenceModules | None:
    """What a folder of sentence-transformers says of its vectors; ``None`` for another folder.

    Args:
        name: as for :func:`~teachers.resolve.resolve_model`.
        revision: the hub revision.

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
        ModelError: the model cannot be loaded, has no head where one is needed, or its labels are
            not the task's.
    """
    source = resolve_model(name, revision=revision)
    options = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    config = _load_config(source, options)
    if finetuned:
        model, info = _read(source, config, options, head=head)
        check_loaded(source, model, info)
        if head == "spans" or problem_type == "regression":
            check_outputs(model, labels, where=str(source))
            if problem_type == "regression" and activation_of(config) == "sigmoid":
                logger.info("teacher: its score is learned as it is, without a sigmoid behind it")
        else:
            align_labels(model, labels, given=given_labels, where=str(source))
        model.config.problem_type = problem_type
        return cast(PreTrainedModel, model.eval())
    if labels is None:
        raise ModelError(f"{source}: a new head needs the task's labels")
    name_labels(config, labels)
    config.problem_type = problem_type
    model, info = _read(source, config, options, head=head)
    heads = [name for name, _ in model.named_children() if name != model.base_model_prefix]
    optional = ("pooler.", *(f"{name}." for name in heads))
    check_loaded(source, model, info, optional=optional, keeps_head=False)
    _new_head(last_linear(model), config)
    return cast(PreTrainedModel, model.eval())


def load_sentence_encoder(
    name: str | Path,
    *,
    pooling: str | None,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> PreTrainedModel:
    """An encoder whose outputs are read as vectors of whole texts, in fp32 and eval mode.

    Args:
        name: as for :func:`~teachers.resolve.resolve_model`.
        pooling: some of :data:`students.pooling.POOLINGS`; a folder of sentence-transformers has
            its own, and perhaps layers behind it, which are taken.
        trust_remote_code: allow code that comes with the model to run.
        revision: the hub revision.

    Raises:
        ModelError: the model cannot be loaded, or nothing says how it pools.
    """
    source = resolve_model(name, revision=revision)
    options = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    config = _load_config(source, options)
    modules = sentence_modules(source, revision=revision)
    if modules is not None:
        pooling = modules.pooling
        setattr(config, DENSE, [dict(layer) for layer in modules.dense])
    if pooling is None:
        raise ModelError(
            f"{source}: nothing says how its tokens become a vector; give a folder that "
            "sentence-transformers saved"
        )
    setattr(config, POOLING, pooling)
    optional = ("pooler.", "sentence_layers.") if modules else ("pooler.",)
    model, info = _read(source, config, options, head="vectors")
    for layer, file in zip(
        getattr(model, "sentence_layers", ()), modules.weights if modules else (), strict=False
    ):
        with loading(source):
            weights = load_file(file)
            layer[0].load_state_dict({k.removeprefix("linear."): w for k, w in weights.items()})
    check_loaded(source, model, info, optional=optional, keeps_head=False)
    return cast(PreTrainedModel, model.eval())


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
        ModelError: the model cannot be loaded.
    """
    source = resolve_model(name, revision=revision)
    options = {"revision": revision or "main", "trust_remote_code": trust_remote_code}
    config = _load_config(source, options)
    model, info = _read(source, config, options, head="none")
    check_loaded(source, model, info, optional=("pooler.",), keeps_head=False)
    return cast(PreTrainedModel, model.eval())


def load_model(folder: Path, *, head: str | None = None) -> PreTrainedModel:
    """A task's model from a folder, stock or pruned, in fp32 and eval mode.

    Args:
        folder: one that ``save_pretrained`` wrote, here or elsewhere.
        head: see :data:`students.heads.HEADS`; left out, what the folder says.

    Raises:
        ModelError: the folder does not hold one, or nothing says what its head is.
    """
    source = check_folder(model_of_run(Path(folder)))
    options = {"trust_remote_code": False}
    config = _load_config(source, options)
    if head is None:
        head = find_head(source)
    modules = sentence_modules(source) if head in ("vectors", "none") else None
    if modules is not None or (head == "vectors" and getattr(config, POOLING, None) is None):
        return load_sentence_encoder(source, pooling=None)
    if head == "none":
        head = "classification"  # what is missing is reported by what a classifier would need
    model, info = _read(source, config, options, head=head)
    check_loaded(source, model, info, optional=("pooler.",) if head == "vectors" else ())
    return cast(PreTrainedModel, model.eval())


def _load_config(source: str | Path, options: dict[str, Any]) -> PreTrainedConfig:
    with loading(source):
        config = AutoConfig.from_pretrained(source, **options)
    return cast(PreTrainedConfig, config)


def _read(
    source: str | Path, config: PreTrainedConfig, options: dict[str, Any], *, head: str
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Load a model with a head, and what there is to say of its weights."""
    made = _AUTO[head]
    if head == "vectors" and getattr(config, DENSE, None):
        if config.model_type not in MODEL_TYPES:
            raise ModelError(
                f"{source} is a '{config.model_type}' with layers behind its pooling, which are "
                f"read of these model types: {', '.join(MODEL_TYPES)}"
            )
        made = class_of(config, head)
    with loading(source):
        model, info = made.from_pretrained(
            source,
            config=config,
            use_safetensors=True,
            # The checkpoint's own type may be half precision, in which training would not work.
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **options,
        )
    return model, info


def _new_head(head: nn.Linear, config: PreTrainedConfig) -> None:
    """Draw the head anew, as BERT does, whether or not the checkpoint had one."""
    nn.init.normal_(head.weight, std=getattr(config, "initializer_range", 0.02))
    nn.init.zeros_(head.bias)
