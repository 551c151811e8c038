"""Whether a tokenizer treats capital letters as its vocabulary was made for."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerFast

#: The share of subwords with letters that have capital ones, from which a vocabulary is cased.
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
