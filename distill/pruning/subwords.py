"""Vocabulary trimming: subwords that the task's texts do not need leave the embedding table.

In a small BERT two thirds of the parameters are word embeddings. Kept are the pieces that the
training texts are made of, the special tokens, every single character (or byte) with its
continuation, and the bytes that unknown characters fall back to, so that any word that could be
spelled still can. On texts whose pieces are all kept the trimmed tokenizer gives the same pieces:

- WordPiece: longest-match-first finds the same match in a subset that holds it.
- BPE: the pieces that a kept one is merged from stay, with all merges among what stays. A merge
  that is done is the first of all that can be, hence the first of those that are left.
- Unigram: the best segmentation stays the best of those that are left. The piece with the lowest
  score stays, because the score of an unknown character is counted from it.

Legend: V pieces, D hidden.

Reference: Yang et al. 2022, TextPruner, section 3.1.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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


def coverage(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> tuple[int, float]:
    """How many subwords texts have, special tokens not counted, and the share of unknown ones."""
    found = count_pieces(tokenizer, texts)
    pieces, unknown = sum(found.values()), tokenizer.unk_token_id
    return pieces, (found[int(unknown)] if isinstance(unknown, int) else 0) / max(1, pieces)


def ids_to_keep(tokenizer: PreTrainedTokenizerFast, used: Iterable[int]) -> list[int]:
    """Ids that stay: used ones, what they are made of, special tokens, characters, bytes."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model = _model(content)
    pieces = _ids(model)
    prefix = model.get("continuing_subword_prefix") or ""
    keep = {
        index
        for piece, index in pieces.items()
        if len(piece.removeprefix(prefix)) == 1 or _BYTE.fullmatch(piece)
    }
    keep.update(int(token["id"]) for token in content.get("added_tokens", []))
    keep.update(map(int, tokenizer.all_special_ids))
    used = set(used)
    if model["type"] == "BPE":
        ranks = {pair: rank for rank, pair in enumerate(_merges(model))}
        names = {index: piece for piece, index in pieces.items()}
        for piece in (names[index] for index in used - keep if index in names):
            keep.update(pieces[part] for part in _merged_from(piece, ranks))
    if model["type"] == "Unigram":
        keep.update({model["unk_id"]} - {None})
        keep.add(min(range(len(model["vocab"])), key=lambda index: model["vocab"][index][1]))
    return sorted(used | keep)


def _merged_from(piece: str, ranks: Mapping[tuple[str, str], int]) -> set[str]:
    """The pieces that BPE makes on the way from a piece's characters to it."""
    parts, made = list(piece), set(piece)
    while len(parts) > 1:
        pairs = list(itertools.pairwise(parts))
        first = min(range(len(pairs)), key=lambda at: ranks.get(pairs[at], math.inf))
        if pairs[first] not in ranks:
            break
        parts[first : first + 2] = ["".join(pairs[first])]
        made.add(parts[first])
    return made if len(parts) == 1 else set(piece)


def trim_tokenizer(
    tokenizer: PreTrainedTokenizerFast, keep: Sequence[int]
) -> PreTrainedTokenizerFast:
    """A tokenizer (WordPiece, BPE or Unigram) with some pieces; ``keep[i]`` gets the id ``i``.

    A ModelError where a special token would go, or the vocabulary is of another type.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model = _model(content)
    new = {old: index for index, old in enumerate(keep)}
    try:
        for token in content.get("added_tokens", []):
            token["id"] = new[int(token["id"])]
        _renumber(content.get("post_processor"), new)
    except KeyError as error:
        raise ModelError(f"the special token with id {error} has to stay") from error
    _trim_model(model, new)
    if content.get("padding"):
        content["padding"]["pad_id"] = new[int(content["padding"]["pad_id"])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tokenizer.save_pretrained(folder)
        write_text(folder / "tokenizer.json", json.dumps(content, ensure_ascii=False))
        for old in ("vocab.txt", "vocab.json", "merges.txt", "*.model"):
            for path in folder.glob(old):
                path.unlink()
        # It may repeat the added tokens by id; tokenizer.json has them.
        settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
        settings.pop("added_tokens_decoder", None)
        write_text(folder / "tokenizer_config.json", json.dumps(settings, ensure_ascii=False))
        trimmed: Any = AutoTokenizer.from_pretrained(folder)
    if len(trimmed) != len(keep):
        raise ModelError(f"the trimmed tokenizer has {len(trimmed)} pieces, not {len(keep)}")
    found: PreTrainedTokenizerFast = trimmed
    return found


#: What a character that is not in the vocabulary is spelled with where it falls back to bytes.
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def _model(content: dict[str, Any]) -> dict[str, Any]:
    """The part of a tokenizer that has the vocabulary."""
    model: dict[str, Any] = content["model"]
    kind = model.get("type")
    if kind not in ("WordPiece", "BPE", "Unigram"):
        raise ModelError(
            f"a vocabulary of type {kind} cannot be trimmed; known are WordPiece, BPE and Unigram"
        )
    if kind == "BPE" and (model["continuing_subword_prefix"] or model["end_of_word_suffix"]):
        raise ModelError(
            "a BPE vocabulary that marks the inside or the end of words cannot be trimmed; known "
            "are byte-level BPE and BPE over whole texts"
        )
    return model


def _ids(model: dict[str, Any]) -> dict[str, int]:
    if model["type"] == "Unigram":
        return {piece: index for index, (piece, _) in enumerate(model["vocab"])}
    return {piece: int(index) for piece, index in model["vocab"].items()}


def _merges(model: dict[str, Any]) -> list[tuple[str, str]]:
    """BPE's merges, the first to be done first; older files have them as text."""
    pairs = (one.split(" ") if isinstance(one, str) else one for one in model["merges"])
    return [(left, right) for left, right in pairs]


def _trim_model(model: dict[str, Any], new: Mapping[int, int]) -> None:
    """Leave the pieces with ids in ``new`` in a vocabulary, under their new ids."""
    kept = sorted((index, piece) for piece, index in _ids(model).items() if index in new)
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][index] for index, _ in kept]
        if model["unk_id"] is not None:
            model["unk_id"] = new[model["unk_id"]]
        return
    if model["type"] == "BPE":
        pieces = {piece for _, piece in kept}
        model["merges"] = [
            [left, right]
            for left, right in _merges(model)
            if left in pieces and right in pieces and left + right in pieces
        ]
    model["vocab"] = {piece: new[index] for index, piece in kept}


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


def trim_embeddings(model: PreTrainedModel, keep: Sequence[int]) -> PreTrainedModel:
    """A copy of the model with rows of its word embeddings, in this order."""
    trimmed: Any = copy.deepcopy(model)
    table = trimmed.get_input_embeddings()
    if not keep or max(keep) >= table.num_embeddings:
        raise ModelError(f"the model has {table.num_embeddings} word embeddings, not {max(keep)}")
    rows = table.weight.detach()[torch.tensor(list(keep), device=table.weight.device)]  # (V, D)
    pad = trimmed.config.pad_token_id
    pad = keep.index(pad) if isinstance(pad, int) and pad in keep else None
    # The module stays: it may have more than a table (students.pruned.FactoredEmbedding).
    table.weight = nn.Parameter(rows.clone(), requires_grad=table.weight.requires_grad)
    table.num_embeddings, table.padding_idx = len(keep), pad
    for config in {id(part.config): part.config for part in (trimmed, trimmed.base_model)}.values():
        config.vocab_size = len(keep)
        config.pad_token_id = pad
        if (special := getattr(config, "special_ids", None)) is not None:  # of a static student
            config.special_ids = [keep.index(one) for one in special]
    found: PreTrainedModel = trimmed
    return found
