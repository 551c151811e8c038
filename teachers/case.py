"""Whether a tokenizer treats capital letters as its vocabulary was made for."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerFast

#: Pieces with capital letters, as a share of those with letters, from which a vocabulary is cased.
_CASED = 0.01


def case_warning(
    tokenizer: PreTrainedTokenizerFast, source: str | Path, *, has_setting: bool
) -> str | None:
    """What to say where vocabulary and tokenizer disagree about case; ``None`` where they agree.

    Args:
        tokenizer: the tokenizer.
        source: its folder or hub name.
        has_setting: whether the folder's tokenizer is of a class with ``do_lower_case``.
    """
    special = set(tokenizer.all_special_tokens)
    pieces = [
        piece
        for piece in tokenizer.get_vocab()
        if piece not in special and not piece.startswith("[") and any(c.isalpha() for c in piece)
    ]
    capital = [piece for piece in pieces if piece != piece.lower()]
    normalizer = tokenizer.backend_tokenizer.normalizer
    lowers = normalizer is not None and normalizer.normalize_str("A").endswith("a")
    if has_setting:
        setting = f'write "do_lower_case": {"false" if lowers else "true"} into'
        setting = f"{setting} {source}/tokenizer_config.json"
    else:
        setting = f"change `normalizer` in {source}/tokenizer.json"
    if lowers and len(capital) > _CASED * len(pieces):
        words = (p for p in capital if p.isalpha() and p[0].isupper() and p[1:].islower())
        word = max(words, key=len, default=capital[0])
        return (
            f"{source}: its vocabulary is cased ({len(capital)} of {len(pieces)} pieces have "
            f"capital letters) and its tokenizer lower-cases: '{word}' becomes "
            f"{' '.join(tokenizer.tokenize(word))}; for a cased model {setting}"
        )
    latin = sum(piece.removeprefix("##").isascii() for piece in pieces)
    if not lowers and not capital and latin > _CASED * len(pieces):
        return (
            f"{source}: its vocabulary has no capital letters and its tokenizer keeps them, so "
            f"words with one become {tokenizer.unk_token}; for an uncased model {setting}"
        )
    return None
