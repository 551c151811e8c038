"""How many rows ``data.max_length`` cuts, and which one would keep nearly all of them whole."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

#: The share of rows that the advice keeps whole.
_KEPT = 0.99


class CutRows(Protocol):
    """Tokenised rows that know what was cut off them."""

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Tokens of each row, (N,)."""
        ...

    @property
    def whole_lengths(self) -> npt.NDArray[np.int32]:
        """Tokens that each cut row had before, (M,)."""
        ...


def cut_facts(rows: CutRows, *, limit: int) -> dict[str, Any]:
    """What was cut.

    Args:
        rows: N rows, of which M are cut.
        limit: the most tokens that the model reads.

    Returns:
        ``rows`` (N), ``cut`` (M), ``longest`` (tokens of the longest row before it was cut),
        ``keeps_99`` (the smallest ``max_length`` that cuts at most 1 % of the rows) and
        ``kept_at_limit`` (the share of rows that the model's limit would keep whole).
    """
    total, cut = len(rows.lengths), len(rows.whole_lengths)
    whole = np.sort(rows.whole_lengths)
    allowed = int(total * (1 - _KEPT) + 1e-9)  # so many may be cut
    # Below the current limit the lengths of uncut rows decide, above it those of cut ones.
    every = whole if cut > allowed else np.sort(rows.lengths)
    return {
        "rows": total,
        "cut": cut,
        "longest": int(whole[-1]) if cut else int(rows.lengths.max(initial=0)),
        "keeps_99": int(every[len(every) - 1 - allowed]) if len(every) else 0,
        "kept_at_limit": 1 - int((whole > limit).sum()) / max(total, 1),
    }


def cut_note(name: str, facts: dict[str, Any], *, max_length: int, limit: int) -> str | None:
    """One sentence on the cut rows of a split; ``None`` where there are none.

    Args:
        name: the split's name.
        facts: from :func:`cut_facts`.
        max_length: ``data.max_length``.
        limit: the most tokens that the model reads.

    Example:
        ``train: 120 of 2,000 rows (6.0 %) are cut to 64 tokens, the longest had 301;
        data.max_length: 97 would keep 99 % whole``
    """
    if not facts["cut"]:
        return None
    share = facts["cut"] / facts["rows"]
    told = (
        f"{name}: {facts['cut']:,} of {facts['rows']:,} rows ({share:.1%}) are cut to {max_length} "
        f"tokens, the longest had {facts['longest']:,}"
    )
    if share <= 1 - _KEPT:
        return told
    if facts["keeps_99"] > limit:
        return (
            f"{told}; the model reads {limit} tokens at most, which would keep "
            f"{facts['kept_at_limit']:.1%} whole"
        )
    return f"{told}; data.max_length: {facts['keeps_99']} would keep 99 % whole"
