"""Masked language modelling and next sentence prediction: what is hidden, and what is swapped.

Everything is a function of (seed, epoch, row), so that an epoch is new, a resumed training goes on
as it was, and held-out text is asked the same at every evaluation.

Legend: L tokens of a sequence.

Reference:
    Devlin et al. 2019, BERT, section 3.1 and appendix A.1.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from distill.data.text.rows import Key, TextSequences
from distill.system.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: A position that nothing is asked of.
IGNORED = -100
#: Of the chosen tokens, shares that become [MASK], and [MASK] or another token.
_MASK, _OTHER = 0.8, 0.9
_SHIFT = 1 << 32
_CHUNK = 1 << 20


class Masking:
    """How tokens are hidden, for a WordPiece tokenizer.

    Args:
        tokenizer: its special tokens are never hidden, and take no token's place.
        share: share of a sequence's tokens that are asked for.
        whole_words: choose words instead of tokens.

    Attributes:
        words: ids that may take a token's place.

    Raises:
        DataError: the tokenizer has no mask token.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, *, share: float = 0.15, whole_words: bool = False
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise DataError("the tokenizer has no mask token, which pre-training needs")
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self.share, self.whole_words = share, whole_words
        self.mask_id = int(tokenizer.mask_token_id)
        self.special = np.zeros(len(tokens), dtype=bool)
        self.special[[i for i in tokenizer.all_special_ids if i < len(tokens)]] = True
        self.words: npt.NDArray[np.int64] = np.flatnonzero(~self.special)
        # Whether a token goes on with the word before it.
        self.continues = np.array([str(token).startswith("##") for token in tokens])

    def apply(
        self, ids: npt.NDArray[np.int64], random: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Hide tokens of a sequence of ids (L,).

        Of n tokens that are no special ones, ``max(1, round(share * n))`` are chosen (of whole
        words: as many as fit into that number, at least one word). Each becomes ``[MASK]`` with
        probability 0.8, another token with 0.1, and stays with 0.1.

        Returns:
            The ids to read, and those to tell (:data:`IGNORED` elsewhere), each of shape (L,).
        """
        read, told = ids.copy(), np.full_like(ids, IGNORED)
        places = np.flatnonzero(~self.special[ids])
        if not len(places):
            return read, told
        count = max(1, round(self.share * len(places)))
        chosen = self._whole(ids, places, count, random) if self.whole_words else (
            random.permutation(places)[:count]
        )  # fmt: skip
        told[chosen] = ids[chosen]
        draw = random.random(len(chosen))
        read[chosen[draw < _MASK]] = self.mask_id
        others = chosen[(draw >= _MASK) & (draw < _OTHER)]
        read[others] = random.choice(self.words, len(others))
        return read, told

    def _whole(
        self,
        ids: npt.NDArray[np.int64],
        places: npt.NDArray[np.int64],
        count: int,
        random: np.random.Generator,
    ) -> npt.NDArray[np.int64]:
        """Places of whole words, in random order, as many as fit into ``count``."""
        starts = ~self.continues[ids[places]] | (np.diff(places, prepend=-2) > 1)
        words = np.split(places, np.flatnonzero(starts)[1:] if starts[0] else [])
        chosen: list[npt.NDArray[np.int64]] = []
        for turn in random.permutation(len(words)):
            if sum(map(len, chosen)) + len(words[turn]) <= count:
                chosen.append(words[turn])
        if not chosen:
            chosen = [min(words, key=len)]
        return np.sort(np.concatenate(chosen))


class MaskedSequences(TextSequences):
    """Sequences with tokens hidden and, where there are pairs, half of the second segments swapped.

    Every second row of an epoch, in turns, has its own continuation as B; the others change theirs
    round among themselves, each going to a row of another document. So exactly half of the pairs
    are true, and every segment is read exactly once an epoch.

    An item has ``mlm_labels`` (L,) beside those of :class:`TextSequences` and, with ``nsp``,
    ``nsp_labels``: 0 where B is the continuation, 1 where it is from elsewhere.

    Args:
        nsp: ask whether B continues A.

    Raises:
        DataError: one document has more than half of the pairs.
    """

    def __init__(self, rows: TextSequences, masking: Masking, *, seed: int, nsp: bool) -> None:
        super().__init__(rows.corpus, rows.rows, rows.special)
        self.masking, self.seed, self.nsp = masking, seed, nsp
        if nsp:
            self._check()

    def __getitem__(self, key: Key | int) -> dict[str, Any]:
        epoch, index = (0, key) if isinstance(key, int) else key
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, middle, end, _ = self.rows[index].tolist()
        elsewhere = self.nsp and index < self._pairs and (index + epoch) % 2 == 1
        source = middle, end
        if elsewhere:
            partner = (index + self.shift(epoch)) % self._pairs
            source = tuple(self.rows[partner, 1:3].tolist())
        ids = self.corpus.ids
        row = self.sequence(ids[start:middle], ids[source[0] : source[1]], index)
        random = np.random.default_rng([self.seed, epoch, index])
        row["input_ids"], row["mlm_labels"] = self.masking.apply(row["input_ids"], random)
        if self.nsp:
            row["nsp_labels"] = IGNORED if middle == end else int(elsewhere)
        return row

    @cached_property
    def _pairs(self) -> int:
        """Rows with a segment B, which stand first; one less where they are odd in number."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.rows[middle, 1] < self.rows[middle, 2]:
                low = middle + 1
            else:
                high = middle
        return low - low % 2

    @cached_property
    def _longest(self) -> int:
        """The most rows that one document has."""
        longest, run, last = 0, 0, -1
        for first in range(0, self._pairs, _CHUNK):
            numbers, counts = np.unique(
                self.rows[first : min(first + _CHUNK, self._pairs), 3], return_counts=True
            )
            if numbers[0] == last:
                counts[0] += run
            longest = max(longest, int(counts.max()))
            last, run = int(numbers[-1]), int(counts[-1])
        return longest

    def shift(self, epoch: int) -> int:
        """How far off a swapped row's B comes from: even, and always in another document."""
        least = self._longest + self._longest % 2
        choices = (self._pairs - 2 * least) // 2 + 1
        draw = int(np.random.default_rng([self.seed, epoch, _SHIFT]).integers(choices))
        return least + 2 * draw

    def _check(self) -> None:
        least = self._longest + self._longest % 2
        if self._pairs < 2 or self._pairs < 2 * least:
            raise DataError(
                f"nsp: the longest document has {self._longest:,} of {self._pairs:,} pairs of "
                "segments, and half of them need a segment of another document; give more text, "
                "part it by blank lines, or leave nsp out"
            )
