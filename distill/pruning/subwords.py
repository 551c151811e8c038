"""Vocabulary trimming: subwords that the task's texts do not need leave the embedding table.

In a small BERT two thirds of the parameters are word embeddings. Kept are the pieces that the
training texts are made of, the special tokens, and every single character with its continuation,
so that any word that could be spelled still can. On texts whose pieces are all kept the trimmed
tokenizer gives the same pieces: longest-match-first finds the same match in a subset that holds it.

Legend: V pieces, D hidden.

Reference: Yang et al. 2022, TextPruner, section 3.1.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from distill.system.atomic import write_text
from distill.system.console import Bar
from distill.system.errors import ModelError

_CHUNK = 1000


@dataclass(frozen=True)
class Coverage:
    """What a tokenizer makes of texts.

    Args:
        pieces: subwords in the texts, special tokens not counted.
        unknown: how many of them are the unknown token.
    """

    pieces: int
    unknown: int

    @property
    def rate(self) -> float:
        """The share of unknown pieces."""
        return self.unknown / max(1, self.pieces)


def count_pieces(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Counter[int]:
    """How often each id occurs in texts, without special tokens and without a limit of length."""
    engine: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    engine.no_padding()
    engine.no_truncation()
    found: Counter[int] = Counter()
    with Bar("counting subwords", len(texts)) as bar:
        for start in range(0, len(texts), _CHUNK):
            part = list(texts[start : start + _CHUNK])
            for row in engine.encode_batch_fast(part, add_special_tokens=False):
                found.update(row.ids)
            bar.advance(len(part))
    return found


def coverage(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Coverage:
    """How much of texts a tokenizer knows."""
    found = count_pieces(tokenizer, texts)
    unknown = tokenizer.unk_token_id
    return Coverage(sum(found.values()), found[int(unknown)] if isinstance(unknown, int) else 0)


def ids_to_keep(tokenizer: PreTrainedTokenizerFast, used: Iterable[int]) -> list[int]:
    """Ids that stay, rising: used ones, special tokens, single characters and continuations.

    Raises:
        ModelError: the tokenizer has no WordPiece vocabulary.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    prefix = _word_pieces(content)["continuing_subword_prefix"]
    single = [
        index
        for piece, index in content["model"]["vocab"].items()
        if len(piece.removeprefix(prefix)) == 1
    ]
    added = [int(token["id"]) for token in content.get("added_tokens", [])]
    return sorted({*used, *single, *added, *map(int, tokenizer.all_special_ids)})


def trim_tokenizer(
    tokenizer: PreTrainedTokenizerFast, keep: Sequence[int]
) -> PreTrainedTokenizerFast:
    """A tokenizer with some of the pieces; piece ``keep[i]`` gets the id ``i``.

    Args:
        tokenizer: a fast WordPiece tokenizer; left as it is.
        keep: ids that stay, rising; special tokens among them.

    Raises:
        ModelError: the tokenizer has no WordPiece vocabulary, or a special token would go.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model = _word_pieces(content)
    new = {old: index for index, old in enumerate(keep)}
    try:
        for token in content.get("added_tokens", []):
            token["id"] = new[int(token["id"])]
        _renumber(content.get("post_processor"), new)
    except KeyError as error:
        raise ModelError(f"the special token with id {error} has to stay") from error
    model["vocab"] = {
        piece: new[index]
        for piece, index in sorted(model["vocab"].items(), key=lambda entry: int(entry[1]))
        if index in new
    }
    if content.get("padding"):
        content["padding"]["pad_id"] = new[int(content["padding"]["pad_id"])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tokenizer.save_pretrained(folder)
        write_text(folder / "tokenizer.json", json.dumps(content, ensure_ascii=False))
        (folder / "vocab.txt").unlink(missing_ok=True)
        _without_ids(folder / "tokenizer_config.json")
        trimmed: Any = AutoTokenizer.from_pretrained(folder)
    if len(trimmed) != len(keep):
        raise ModelError(f"the trimmed tokenizer has {len(trimmed)} pieces, not {len(keep)}")
    found: PreTrainedTokenizerFast = trimmed
    return found


def _word_pieces(content: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = content["model"]
    if model.get("type") != "WordPiece":
        raise ModelError(
            f"a vocabulary of type {model.get('type')} cannot be trimmed; only WordPiece, BERT's"
        )
    return model


def _renumber(processor: dict[str, Any] | None, new: dict[int, int]) -> None:
    """Ids inside the part that puts special tokens around a text."""
    if processor is None:
        return
    for token in processor.get("special_tokens", {}).values():
        token["ids"] = [new[int(index)] for index in token["ids"]]
    for name in ("sep", "cls"):
        if name in processor:
            text, index = processor[name]
            processor[name] = [text, new[int(index)]]
    for part in processor.get("processors", []):
        _renumber(part, new)


def _without_ids(path: Path) -> None:
    """``tokenizer_config.json`` may repeat the added tokens by id; ``tokenizer.json`` has them."""
    if path.is_file():
        content = json.loads(path.read_text(encoding="utf-8"))
        content.pop("added_tokens_decoder", None)
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False))


def trim_embeddings(model: PreTrainedModel, keep: Sequence[int]) -> PreTrainedModel:
    """A copy of the model with rows of its word embeddings, in this order.

    Args:
        model: a BERT; left as it is.
        keep: ids that stay.

    Raises:
        ModelError: an id is beyond the table.
    """
    trimmed: Any = copy.deepcopy(model)
    table = trimmed.get_input_embeddings()
    if not keep or max(keep) >= table.num_embeddings:
        raise ModelError(f"the model has {table.num_embeddings} word embeddings, not {max(keep)}")
    rows = table.weight.detach()[torch.tensor(list(keep), device=table.weight.device)]  # (V, D)
    pad = trimmed.config.pad_token_id
    pad = keep.index(pad) if isinstance(pad, int) and pad in keep else None
    smaller = nn.Embedding(len(keep), table.embedding_dim, padding_idx=pad)
    smaller.weight = nn.Parameter(rows.clone(), requires_grad=table.weight.requires_grad)
    trimmed.set_input_embeddings(smaller)
    for config in {id(part.config): part.config for part in (trimmed, trimmed.base_model)}.values():
        config.vocab_size = len(keep)
        config.pad_token_id = pad
    found: PreTrainedModel = trimmed
    return found
