"""Where augmentation's candidates come from: model, tokenizer, word vectors and cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from distill.data.augmentation.candidates import Candidates
from distill.data.augmentation.generate import Method, changed_texts
from distill.data.augmentation.masked import MaskedProposals
from distill.data.augmentation.vectors import Embeddings, Glove, Neighbours
from distill.data.augmentation.words import Reader
from distill.data.split import Split
from distill.recipe.model_shapes import NO_HEAD, has_masked_head
from distill.recipe.schema import AugmentStage, Recipe
from distill.system import digest
from distill.system.errors import DataError, ModelError
from distill.training.devices import resolve_precision
from teachers.cache import weights_digest
from teachers.load import load_embeddings, load_masked_model, load_tokenizer
from teachers.resolve import resolve_model

_VERSION = 1


def check_source(config: AugmentStage, recipe: Recipe) -> None:
    """Look, before anything is trained, whether the stage has what it names.

    Raises:
        UserError: the model or the GloVe file is not there, or the model cannot propose words.
    """
    name = config.model or recipe.source.model
    if config.glove is not None and not Path(config.glove).expanduser().is_file():
        raise DataError(f"stages.{config.name}.glove: no such file: {config.glove}")
    if config.model is not None:
        resolve_model(config.model)
    if config.words == "mlm" and has_masked_head(name) is False:
        raise ModelError(f"stages.{config.name}: {NO_HEAD.format(name)}")


def method_of(config: AugmentStage, recipe: Recipe) -> Method:
    """How rows are changed."""
    return Method(
        copies=config.copies,
        replace=config.replace,
        seed=recipe.seed,
        columns=config.pair_columns,
    )


def find_candidates(
    config: AugmentStage, recipe: Recipe, split: Split, *, tokenizer: PreTrainedTokenizerFast
) -> tuple[Candidates, dict[str, Any]]:
    """The candidates of every word of the texts that will be changed.

    Args:
        config: the stage's configuration.
        recipe: the recipe it stands in.
        split: the rows.
        tokenizer: the teacher's; used where the stage names no model of its own.

    Returns:
        The candidates, and what is reported of them: ``words`` by source, ``texts`` (how many
        different ones), ``notes``.

    Raises:
        UserError: the model or the word vectors cannot be used.
    """
    name = config.model or recipe.source.model
    model = _masked_model(config, recipe)
    if config.model is not None:
        tokenizer = load_tokenizer(config.model)
    reader = Reader(tokenizer, max_length=recipe.data.max_length, stop_words=config.stop_words)
    texts = list(changed_texts(split, method_of(config, recipe)))
    masked, key = None, None
    if model is not None:
        precision = resolve_precision(recipe.trainer)
        masked = MaskedProposals(
            model,
            tokenizer,
            reader,
            count=config.candidates,
            original=config.segment == "original",
            precision=precision,
        )
        key = digest.of_json(
            [
                _VERSION,
                digest.of_texts(dict.fromkeys(texts)),
                weights_digest(model),
                reader.fingerprint,
                [config.candidates, config.segment, config.stop_words, precision],
            ]
        )
    candidates = Candidates(
        texts,
        reader,
        masked=masked,
        neighbours=_neighbours(config, recipe, model, reader),
        count=config.candidates,
        key=key,
    )
    words = dict(candidates.sources)
    notes = [_source(words, masked=masked is not None, name=name, glove=config.glove)]
    if masked is None and config.words == "auto":
        notes.append(f"{name} has no masked-language head, so word vectors speak for every word")
    return candidates, {"words": words, "texts": len(candidates), "notes": notes}


def _source(words: dict[str, int], *, masked: bool, name: str, glove: str | None) -> str:
    vectors = Path(glove).name if glove else f"the input embeddings of {name}"
    near = f"{words['neighbours']:,} from {vectors}"
    asked = f"{words['mlm']:,} words from {name}, {near}" if masked else f"words: {near}"
    without = f"; {words['none']:,} have none" if words["none"] else ""
    return f"candidates of {asked}{without}"


def _masked_model(config: AugmentStage, recipe: Recipe) -> PreTrainedModel | None:
    """The masked-language model; ``None`` where word vectors speak for every word."""
    if config.words == "neighbours":
        return None
    name, options = _model_options(config, recipe)
    model = load_masked_model(name, **options)
    if model is None:
        if config.words == "mlm":
            raise ModelError(f"stages.{config.name}: {NO_HEAD.format(name)}")
        return None
    cuda = recipe.trainer.accelerator != "cpu" and torch.cuda.is_available()
    return model.to("cuda") if cuda else model  # type: ignore[arg-type]


def _model_options(config: AugmentStage, recipe: Recipe) -> tuple[str, dict[str, Any]]:
    teacher = recipe.source
    if config.model is not None:
        return config.model, {}
    return teacher.model, {
        "revision": teacher.revision,
        "trust_remote_code": teacher.trust_remote_code,
    }


def _neighbours(
    config: AugmentStage, recipe: Recipe, model: PreTrainedModel | None, reader: Reader
) -> Neighbours:
    if config.glove is not None:
        return Glove(Path(config.glove).expanduser())
    if model is not None:
        return Embeddings(cast(Tensor, model.get_input_embeddings().weight), reader)
    name, options = _model_options(config, recipe)
    return Embeddings(load_embeddings(name, **options), reader)
