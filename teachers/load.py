"""Loading teachers, with the head that a task needs, and their tokenizers.

A model's name, its revision and whether its code may run are those of
:class:`~teachers.resolve.ModelFiles`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from distill.recipe.run_models import model_of_run
from distill.system.errors import ModelError
from students.family import family_of
from students.folder import check_folder, loading, read_config
from students.heads import activation_of, last_linear
from students.pooling import DENSE, POOLING
from students.sentence_modules import prepared
from students.weights import check_loaded, find_head
from teachers.labels import align_labels, check_outputs, name_labels
from teachers.resolve import ModelFiles, resolve_model, sentence_modules

logger = logging.getLogger("distill")

#: The share of subwords with letters that have capital ones, from which a vocabulary is cased.
_CASED = 0.01
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]


def load_tokenizer(
    name: str | Path,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    for_vectors: bool = False,
    written_here: bool = False,
) -> PreTrainedTokenizerFast:
    """The tokenizer that belongs to a model.

    Where its vocabulary and what it does to capital letters do not fit together, a warning says so,
    unless this run wrote the folder from a tokenizer that was looked at (``written_here``). With
    ``for_vectors`` texts are read as a sentence encoder's folder says (case and prompt).

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
    found = None if written_here else _case_warning(tokenizer, source, has_setting=has_setting)
    if found is not None:
        logger.warning("%s", found)
    return tokenizer


def _case_warning(
    tokenizer: PreTrainedTokenizerFast, source: str | Path, *, has_setting: bool
) -> str | None:
    """What to say where vocabulary and tokenizer disagree about case; ``None`` where they agree.

    Args:
        tokenizer: the tokenizer.
        source: its folder or hub name.
        has_setting: whether the folder's tokenizer is of a class with ``do_lower_case``.
    """
    special = set(tokenizer.all_special_tokens)
    subwords = [
        subword
        for subword in tokenizer.get_vocab()
        if subword not in special
        and not subword.startswith("[")
        and any(c.isalpha() for c in subword)
    ]
    capital = [subword for subword in subwords if subword != subword.lower()]
    normalizer = tokenizer.backend_tokenizer.normalizer
    lowers = normalizer is not None and normalizer.normalize_str("A").endswith("a")
    if has_setting:
        setting = f'write "do_lower_case": {"false" if lowers else "true"} into'
        setting = f"{setting} {source}/tokenizer_config.json"
    else:
        setting = f"change `normalizer` in {source}/tokenizer.json"
    if lowers and len(capital) > _CASED * len(subwords):
        words = (p for p in capital if p.isalpha() and p[0].isupper() and p[1:].islower())
        word = max(words, key=len, default=capital[0])
        return (
            f"{source}: its vocabulary is cased ({len(capital)} of {len(subwords)} subwords have "
            f"capital letters) and its tokenizer lower-cases: '{word}' becomes "
            f"{' '.join(tokenizer.tokenize(word))}; for a cased model {setting}"
        )
    latin = sum(subword.removeprefix("##").isascii() for subword in subwords)
    if not lowers and not capital and latin > _CASED * len(subwords):
        return (
            f"{source}: its vocabulary has no capital letters and its tokenizer keeps them, so "
            f"words with one become {tokenizer.unk_token}; for an uncased model {setting}"
        )
    return None


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
    files = ModelFiles(name, revision=revision, trust_remote_code=trust_remote_code)
    source, config = files.source, files.config
    if finetuned:
        model = files.load(head)
        if head == "spans" or problem_type == "regression":
            check_outputs(model, labels, where=str(source))
            if problem_type == "regression" and activation_of(config) == "sigmoid":
                logger.info("teacher: its score is learned as it is, without a sigmoid behind it")
        else:
            align_labels(model, labels, given=given_labels, where=str(source))
        model.config.problem_type = problem_type
        return model
    if labels is None:
        raise ModelError(f"{source}: a new head needs the task's labels")
    name_labels(config, labels)
    config.problem_type = problem_type
    model, info = files.read(head)
    heads = [name for name, _ in model.named_children() if name != model.base_model_prefix]
    optional = ("pooler.", *(f"{name}." for name in heads))
    check_loaded(source, model, info, optional=optional, keeps_head=False)
    # Drawn anew, as BERT does, whether or not the checkpoint had one.
    new = last_linear(model)
    nn.init.normal_(new.weight, std=getattr(config, "initializer_range", 0.02))
    nn.init.zeros_(new.bias)
    return cast(PreTrainedModel, model.eval())


def load_sentence_encoder(
    name: str | Path,
    *,
    pooling: str | None,
    trust_remote_code: bool = False,
    revision: str | None = None,
) -> PreTrainedModel:
    """An encoder whose outputs are read as vectors of whole texts, in fp32 and eval mode.

    ``pooling`` is one of :data:`students.pooling.POOLINGS`, or several; a folder of
    sentence-transformers has its own, and perhaps layers behind it, which are taken.

    Raises:
        ModelError: the model cannot be loaded, or nothing says how it pools.
    """
    files = ModelFiles(name, revision=revision, trust_remote_code=trust_remote_code)
    source = files.source
    modules = sentence_modules(source, revision=revision)
    if modules is not None:
        pooling = modules.pooling
        setattr(files.config, DENSE, [dict(layer) for layer in modules.dense])
    if pooling is None:
        raise ModelError(
            f"{source}: nothing says how its tokens become a vector; give a folder that "
            "sentence-transformers saved"
        )
    setattr(files.config, POOLING, pooling)
    model, info = files.read("vectors")
    for layer, file in zip(
        getattr(model, "sentence_layers", ()), modules.weights if modules else (), strict=False
    ):
        with loading(source):
            weights = load_file(file)
            layer[0].load_state_dict({k.removeprefix("linear."): w for k, w in weights.items()})
    optional = ("pooler.", "sentence_layers.") if modules else ("pooler.",)
    check_loaded(source, model, info, optional=optional, keeps_head=False)
    return cast(PreTrainedModel, model.eval())


def load_encoder(
    name: str | Path, *, trust_remote_code: bool = False, revision: str | None = None
) -> PreTrainedModel:
    """A model's encoder, without the heads it may have, in fp32 and eval mode.

    A pooler that the weights lack is drawn from torch's global generator.

    Raises:
        ModelError: the model cannot be loaded.
    """
    files = ModelFiles(name, revision=revision, trust_remote_code=trust_remote_code)
    return files.load("none", optional=("pooler.",), keeps_head=False)


def load_masked_model(
    name: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedModel | None:
    """A BERT with its masked-language head, in fp32 and eval mode; ``None`` where it has none.

    Raises:
        ModelError: the model cannot be loaded or is no BERT.
    """
    files = ModelFiles(name, revision=revision, trust_remote_code=trust_remote_code)
    _check_wordpiece(files)
    if files.config.model_type != "bert":
        return None
    with torch.random.fork_rng(devices=[]):
        model, info = files.read("mlm")
    head = f"{family_of('bert').mlm}."
    if any(key.startswith(head) for key in info["missing_keys"]):
        return None
    check_loaded(files.source, model, info, keeps_head=False)
    return cast(PreTrainedModel, model.eval())


def load_embeddings(
    name: str | Path, *, revision: str | None = None, trust_remote_code: bool = False
) -> Tensor:
    """A BERT's input embeddings (vocabulary, hidden size), in fp32.

    Raises:
        ModelError: the model cannot be loaded or is no BERT.
    """
    files = ModelFiles(name, revision=revision, trust_remote_code=trust_remote_code)
    _check_wordpiece(files)
    with torch.random.fork_rng(devices=[]):
        model = files.load("none", optional=("pooler.",), keeps_head=False)
    return cast(nn.Embedding, model.get_input_embeddings()).weight.detach()


def _check_wordpiece(files: ModelFiles) -> None:
    kind, known = files.config.model_type, ("bert", "pruned_bert")
    if kind not in known:
        raise ModelError(
            f"{files.source} is a '{kind}'; augmentation needs a BERT, whose vocabulary is one of "
            f"WordPiece (model types that work: {', '.join(known)})"
        )


def load_model(folder: Path, *, head: str | None = None) -> PreTrainedModel:
    """A task's model from a folder, stock or pruned, in fp32 and eval mode.

    Args:
        folder: one that ``save_pretrained`` wrote, here or elsewhere.
        head: see :data:`students.heads.HEADS`; left out, what the folder says.

    Raises:
        ModelError: the folder does not hold one, or nothing says what its head is.
    """
    files = ModelFiles(check_folder(model_of_run(Path(folder))))
    source = cast(Path, files.source)
    if head is None:
        head = find_head(source)
    modules = sentence_modules(source) if head in ("vectors", "none") else None
    if modules is not None or (head == "vectors" and getattr(files.config, POOLING, None) is None):
        return load_sentence_encoder(source, pooling=None)
    if head == "none":
        head = "classification"  # what is missing is reported by what a classifier would need
    return files.load(head, optional=("pooler.",) if head == "vectors" else ())
