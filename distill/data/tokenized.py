"""Examples as token ids on disk: made once for a text, a tokenizer and a length.

Beside them stands what of the texts a model does not read: cut by ``max_length``, or not in the
vocabulary.

Legend: N examples, of which M are cut.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer
from torch.utils.data import Dataset

from distill.data.array_store import ArrayStore, ArrayWriter, open_store
from distill.system import digest
from distill.system.console import Bar
from distill.system.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from distill.data.augmentation.generate import AugmentedSplit
    from distill.data.split import Split

    #: What can be tokenised.
    TextExamples: TypeAlias = Split | AugmentedSplit

_VERSION = 5
_CHUNK = 2000
_TYPES = {"ids": "int32", "lengths": "int32", "cut": "int32"}
#: The share of examples that the advice keeps whole.
_KEPT = 0.99
#: Examples with unknown subwords that are looked at again, for the text that stood there.
_LOOKED_AT = 1000
_SHOWN, _SHOWN_CHARACTERS = 6, 12

#: Texts, and the second text of each where examples are pairs.
Texts = tuple[Sequence[str], Sequence[str] | None]


class TokenExamples(Dataset[dict[str, Any]]):
    """Examples of any kind as models read them: token ids in memory-mapped files.

    An item is a dict with ``input_ids`` and ``token_type_ids`` (int arrays of the example's own
    length), what :meth:`labels_of` gives, and ``index`` (int, the example's number).

    Args:
        store: ``ids`` and ``lengths``, and ``types`` where there is a second text.
        digest: SHA-256 (hex) of what the examples are: texts, tokenizer, length limit and labels.
        pad_id: the padding token's id.

    Attributes:
        lengths: tokens of each example, special ones included, int32 of shape (N,).
        padded: what of an item has one value per token, and the value that fills it up.
    """

    padded: Mapping[str, int] = MappingProxyType({})

    def __init__(self, store: ArrayStore, *, digest: str, pad_id: int) -> None:
        self.store, self.digest, self.pad_id = store, digest, pad_id
        self.lengths: npt.NDArray[np.int32] = np.array(store["lengths"])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        tokens = slice(self.starts[index], self.starts[index + 1])
        ids = self.store["ids"][tokens]
        types = self.store["types"][tokens] if "types" in self.store else np.zeros_like(ids)
        inputs = {"input_ids": ids, "token_type_ids": types}
        return {**inputs, **self.labels_of(index, tokens), "index": index}

    @abstractmethod
    def labels_of(self, index: int, tokens: slice) -> dict[str, Any]:
        """What an item has beside its inputs, whose tokens stand at ``tokens`` in the store."""

    def notes(self, *, max_length: int, limit: int) -> list[str]:
        """What a reader should know, of a model that reads ``limit`` tokens at most."""
        return []

    def cut_facts(self, *, limit: int) -> dict[str, Any] | None:
        """What ``max_length`` cut; ``None`` where long texts are read in windows."""
        return None


class TokenizedDataset(TokenExamples):
    """Texts as token ids; ``labels`` of an item are a number, or an array of C.

    Args:
        store: what :func:`tokenize` wrote.
        labels: int64 or float32 of shape (N,), or float32 (N, C).

    Attributes:
        whole_lengths: tokens of each cut example before it was cut, int32 (M,).
        unknown: what the vocabulary lacks; see :meth:`UnknownSubwords.facts`.
    """

    def __init__(
        self, store: ArrayStore, labels: npt.NDArray[Any], *, digest: str, pad_id: int
    ) -> None:
        super().__init__(store, digest=digest, pad_id=pad_id)
        self.labels = labels
        self.whole_lengths: npt.NDArray[np.int32] = np.array(store["cut"])
        self.unknown: dict[str, Any] = store.facts["unknown"]

    @property
    def truncated(self) -> int:
        """How many examples were cut to the length limit."""
        return len(self.whole_lengths)

    def labels_of(self, index: int, tokens: slice) -> dict[str, Any]:
        return {"labels": self.labels[index]}

    def relabelled(self, labels: npt.NDArray[Any]) -> TokenizedDataset:
        """The same examples with other labels; the digest, which stands for the texts, stays."""
        return TokenizedDataset(self.store, labels, digest=self.digest, pad_id=self.pad_id)

    def cut_facts(self, *, limit: int) -> dict[str, Any] | None:
        return cut_facts(self.lengths, self.whole_lengths, limit=limit)

    def notes(self, *, max_length: int, limit: int) -> list[str]:
        facts = cut_facts(self.lengths, self.whole_lengths, limit=limit)
        notes = [cut_note(facts, max_length=max_length, limit=limit), unknown_note(self.unknown)]
        return [note for note in notes if note is not None]


def tokenize(
    split: TextExamples, tokenizer: PreTrainedTokenizerFast, *, max_length: int
) -> TokenizedDataset:
    """Give a split as token ids, from the cache where its texts were tokenised before.

    Of a pair the longer sentence is cut first, until both and the special tokens fit.

    Raises:
        DataError: the split is empty, the tokenizer takes fewer tokens than ``max_length``, or
            the cache folder cannot be written.
    """
    check_examples(split, tokenizer, max_length=max_length)
    engine = bare_engine(tokenizer)
    engine.enable_truncation(
        max_length, strategy="longest_first", direction=tokenizer.truncation_side
    )
    key = digest.of_json([_VERSION, split.text_digest, digest.of_texts([engine.to_str()])])
    types = _TYPES | ({"types": "uint8"} if split.paired else {})
    store = open_store(
        "tokens", key, types, name=split.name, fill=lambda writer: _fill(writer, split, engine)
    )
    return TokenizedDataset(
        store,
        split.targets,
        digest=digest.of_json([key, split.digest()]),
        pad_id=padding_id(tokenizer),
    )


def check_examples(
    split: TextExamples, tokenizer: PreTrainedTokenizerFast, *, max_length: int
) -> None:
    """Refuse rows that cannot be tokenised to a length.

    Raises:
        DataError: there are none, or the tokenizer takes fewer tokens than ``max_length``.
    """
    if len(split) == 0:
        raise DataError(f"{split.name}: no examples to tokenise")
    check_length(tokenizer, max_length)


def check_length(tokenizer: PreTrainedTokenizerFast, max_length: int) -> None:
    """Refuse ``data.max_length`` where the tokenizer takes fewer tokens.

    Raises:
        DataError: so it is.
    """
    if max_length > tokenizer.model_max_length:
        raise DataError(
            f"data.max_length: {max_length}, but this tokenizer's model takes at most "
            f"{tokenizer.model_max_length} tokens; write data.max_length: "
            f"{tokenizer.model_max_length} or less"
        )


def bare_engine(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """A copy of the tokenizer's engine that neither pads nor cuts.

    The tokenizer's own engine is left alone: it carries whatever limits its last caller, or the
    file it was read from, set (all-MiniLM's pads everything to 128).
    """
    engine: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    engine.no_padding()
    engine.no_truncation()
    return engine


def padding_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The padding token's id; 0 where the tokenizer has none."""
    found = tokenizer.pad_token_id
    return 0 if found is None else int(found)


def _fill(writer: ArrayWriter, split: TextExamples, engine: Tokenizer) -> dict[str, Any]:
    unknown = UnknownSubwords(engine)
    endless = Tokenizer.from_str(engine.to_str())
    endless.no_truncation()
    with Bar(f"tokenise {split.name}", len(split)) as bar:
        for texts, pairs in split.chunks(_CHUNK):
            given: list[Any] = list(texts if pairs is None else zip(texts, pairs, strict=True))
            rows = engine.encode_batch_fast(given)
            unknown.add(texts, pairs, rows)
            # Of pairs the subwords cut off cannot be added up: these few are tokenised once more.
            cut = [text for text, row in zip(given, rows, strict=True) if row.overflowing]
            writer.append(
                ids=np.concatenate([row.ids for row in rows]),
                lengths=[len(row.ids) for row in rows],
                cut=[len(whole.ids) for whole in endless.encode_batch_fast(cut)],
            )
            if split.paired:
                writer.append(types=np.concatenate([row.type_ids for row in rows]))
            bar.advance(len(rows))
    return {"unknown": unknown.facts()}


def cut_facts(
    lengths: npt.NDArray[np.int32], whole_lengths: npt.NDArray[np.int32], *, limit: int
) -> dict[str, Any]:
    """How many examples are cut, and which length would keep nearly all of them whole.

    Args:
        lengths: tokens of each example, (N,).
        whole_lengths: tokens that each cut example had before, (M,).
        limit: the most tokens that the model reads.

    Returns:
        ``rows`` (N), ``cut`` (M), ``longest`` (tokens of the longest example before it was cut),
        ``keeps_99`` (the smallest ``max_length`` that cuts at most 1 % of the examples) and
        ``kept_at_limit`` (the share of examples that the model's limit would keep whole).
    """
    total, cut = len(lengths), len(whole_lengths)
    whole = np.sort(whole_lengths)
    allowed = int(total * (1 - _KEPT) + 1e-9)  # so many may be cut
    # Below the current limit the lengths of uncut examples decide, above it those of cut ones.
    every = whole if cut > allowed else np.sort(lengths)
    return {
        "rows": total,
        "cut": cut,
        "longest": int(whole[-1]) if cut else int(lengths.max(initial=0)),
        "keeps_99": int(every[len(every) - 1 - allowed]) if len(every) else 0,
        "kept_at_limit": 1 - int((whole > limit).sum()) / max(total, 1),
    }


def cut_note(facts: dict[str, Any], *, max_length: int, limit: int) -> str | None:
    """One sentence on the cut examples, by :func:`cut_facts`; ``None`` where there are none.

    Example:
        ``120 of 2,000 examples (6.0%) are cut to 64 tokens, the longest had 301; data.max_length:
        97 would keep 99 % whole``
    """
    if not facts["cut"]:
        return None
    share = facts["cut"] / facts["rows"]
    note = (
        f"{facts['cut']:,} of {facts['rows']:,} examples ({share:.1%}) are cut to {max_length} "
        f"tokens, the longest had {facts['longest']:,}"
    )
    if share <= 1 - _KEPT:
        return note
    if facts["keeps_99"] > limit:
        return (
            f"{note}; the model reads {limit} tokens at most, which would keep "
            f"{facts['kept_at_limit']:.1%} whole"
        )
    return f"{note}; data.max_length: {facts['keeps_99']} would keep 99 % whole"


class UnknownSubwords:
    """Counts the subwords that became the unknown token ([UNK]), and the text that stood there.

    Args:
        engine: the tokenizer, as it cuts the rows.
    """

    def __init__(self, engine: Tokenizer) -> None:
        self._engine = engine
        name = getattr(engine.model, "unk_token", None)
        self._id = engine.token_to_id(name) if name else None
        self._subwords = self._unknown = self._rows = 0
        self._signs: Counter[str] = Counter()

    def add(
        self, texts: Sequence[str], pairs: Sequence[str] | None, rows: Sequence[Encoding]
    ) -> None:
        """Count texts (or pairs of them) by what the tokenizer made of them."""
        special = self._engine.num_special_tokens_to_add(pairs is not None)
        self._subwords += sum(len(row.ids) - special for row in rows)
        if self._id is None:
            return
        for place, row in enumerate(rows):
            found = int(np.count_nonzero(np.asarray(row.ids) == self._id))
            if not found:
                continue
            self._unknown += found
            self._rows += 1
            if self._rows <= _LOOKED_AT:
                self._look(texts[place], pairs[place] if pairs is not None else None)

    def _look(self, text: str, pair: str | None) -> None:
        # Again, and by character: rows are otherwise encoded without their places in the text.
        row = self._engine.encode(text, pair)
        for token, part, (start, end) in zip(row.ids, row.sequence_ids, row.offsets, strict=True):
            if token == self._id and part is not None:
                self._signs[(pair if part and pair is not None else text)[start:end]] += 1

    def facts(self) -> dict[str, Any]:
        """``subwords`` (no special tokens), ``unknown`` of them, and what was so most often."""
        ranked = sorted(self._signs, key=lambda sign: (-self._signs[sign], sign))
        often = [sign[:_SHOWN_CHARACTERS] for sign in ranked[:_SHOWN]]
        return {"subwords": self._subwords, "unknown": self._unknown, "often": often}


def unknown_note(facts: dict[str, Any]) -> str | None:
    """One sentence on what the vocabulary does not have; ``None`` where it has everything.

    Example:
        ``220 of 95,481 subwords (0.2%) are not in the vocabulary, most often “ ” …``
    """
    unknown, subwords = facts["unknown"], facts["subwords"]
    if not unknown:
        return None
    share = unknown / subwords
    told = f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
    often = f", most often {' '.join(facts['often'])}" if facts["often"] else ""
    return f"{unknown:,} of {subwords:,} subwords ({told}) are not in the vocabulary{often}"
