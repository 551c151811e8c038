"""What of the texts a model does not read: cut by ``max_length``, or not in the vocabulary.

Legend: N examples, of which M are cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

#: The share of examples that the advice keeps whole.
_KEPT = 0.99
#: Examples with unknown subwords that are looked at again, for the text that stood there.
_LOOKED_AT = 1000
_SHOWN, _SHOWN_CHARACTERS = 6, 12


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
