"""What of the texts a vocabulary does not have: counted while they are tokenised, and told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

#: Rows with unknown pieces that are looked at again, to tell what stood there.
_LOOKED_AT = 1000
_SHOWN, _SHOWN_SIGNS = 6, 12


class UnknownPieces:
    """Counts the pieces that became the unknown token ([UNK]), and what stood there.

    Args:
        engine: the tokenizer, as it cuts the rows.
    """

    def __init__(self, engine: Tokenizer) -> None:
        self._engine = engine
        name = getattr(engine.model, "unk_token", None)
        self._id = engine.token_to_id(name) if name else None
        self._pieces = self._unknown = self._rows = 0
        self._signs: Counter[str] = Counter()

    def add(
        self, texts: Sequence[str], pairs: Sequence[str] | None, rows: Sequence[Encoding]
    ) -> None:
        """Count rows.

        Args:
            texts: their texts.
            pairs: their second sentences.
            rows: what the tokenizer made of them.
        """
        special = self._engine.num_special_tokens_to_add(pairs is not None)
        self._pieces += sum(len(row.ids) - special for row in rows)
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
        """``pieces`` (special tokens left out), ``unknown`` of them, and what was so most often."""
        ranked = sorted(self._signs, key=lambda sign: (-self._signs[sign], sign))
        often = [sign[:_SHOWN_SIGNS] for sign in ranked[:_SHOWN]]
        return {"pieces": self._pieces, "unknown": self._unknown, "often": often}


def unknown_note(name: str, facts: dict[str, Any]) -> str | None:
    """One sentence on what the vocabulary does not have; ``None`` where it has everything.

    Args:
        name: the split's name.
        facts: from :meth:`UnknownPieces.facts`.

    Example:
        ``validation: 220 of 95,481 pieces (0.2%) are not in the vocabulary, most often “ ” …``
    """
    unknown, pieces = facts["unknown"], facts["pieces"]
    if not unknown:
        return None
    share = unknown / pieces
    told = f"{share:.1%}" if share >= 0.001 else "less than 0.1%"
    often = f", most often {' '.join(facts['often'])}" if facts["often"] else ""
    return f"{name}: {unknown:,} of {pieces:,} pieces ({told}) are not in the vocabulary{often}"
