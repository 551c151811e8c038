"""Which words of a text may be replaced, where they stand, and how a replacement is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from tokenizers import Tokenizer

from distill.system.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

_SPECIAL_TOKENS = 2
_CHUNK = 1000


# Stop words carry the grammar, and often the label.
_ENGLISH = """
    a an the this that these those such same other another each every either neither both all any
    some none no not nor never cannot and or but if then else than as because since while until
    unless though although whether so yet i me my mine myself we us our ours ourselves you your
    yours yourself yourselves he him his himself she her hers herself it its itself they them their
    theirs themselves one ones who whom whose which what when where why how there here am is are was
    were be been being do does did doing done have has had having can could may might must shall
    should will would ought let of at by for with without within about against between among
    through throughout during before after above below under over to from up down in into on onto
    off out upon across along around behind beside besides beyond near per via again once only own
    just too very also even still ever else more most much many less least few little lot quite
    rather
    ain aren couldn didn doesn don hadn hasn haven isn ll mightn mustn needn re shan shouldn ve
    wasn weren won wouldn
""".split()  # noqa: SIM905 (two hundred quoted words would be harder to read)
#: Chinese characters that are mostly grammar; BERT reads Chinese character by character.
_CHINESE = tuple("的了是在不没有和与或也都就很我你他她它们这那个之而及被把着过吗呢吧啊从对于以为")

STOP_WORDS = frozenset((*_ENGLISH, *_CHINESE))


def is_stop_word(word: str) -> bool:
    """Whether a word is in the list or is a single Latin letter (the s of it's)."""
    return word.lower() in STOP_WORDS or (len(word) == 1 and word.isascii())


class Word(NamedTuple):
    """A word that may be replaced, at characters ``start`` to ``end`` of the text.

    Args:
        ids: its subwords.
        at: the number of its first subword in the sentence.
    """

    start: int
    end: int
    ids: tuple[int, ...]
    at: int


class Sentence(NamedTuple):
    """A text as the model reads it.

    Args:
        ids: its subwords without special tokens, cut to the length limit.
        words: those that may be replaced.
        spoken: how many words there are in all, without signs.
    """

    text: str
    ids: list[int]
    words: list[Word]
    spoken: int


class Reader:
    """Splits texts into words as BERT does, each with its place in the text.

    A candidate is a word of letters only; a stop word is none where ``stop_words`` says so.

    Args:
        max_length: tokens kept of a text, special ones included; words behind stay as they are.

    Raises:
        ModelError: the tokenizer is not WordPiece.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, *, max_length: int, stop_words: bool
    ) -> None:
        engine: Tokenizer = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        if type(engine.model).__name__ != "WordPiece":
            raise ModelError(
                f"augmentation replaces WordPiece words, and this tokenizer is "
                f"{type(engine.model).__name__}; leave the augment stage out, or give it a BERT "
                "in `model`"
            )
        engine.no_padding()
        engine.enable_truncation(max_length - _SPECIAL_TOKENS)
        self._engine = engine
        self.stop_words = stop_words
        self.fingerprint = engine.to_str()
        unknown = tokenizer.unk_token_id
        self.unknown = -1 if unknown is None else int(unknown)
        #: The subword of each id.
        self.subwords: list[str] = _subwords(engine)
        self.special = frozenset(int(i) for i in tokenizer.all_special_ids)

    def read(self, texts: Sequence[str]) -> list[Sentence]:
        found: list[Sentence] = []
        for start in range(0, len(texts), _CHUNK):
            part = list(texts[start : start + _CHUNK])
            encodings = self._engine.encode_batch(part, add_special_tokens=False)
            found.extend(map(self._sentence, part, encodings))
        return found

    def _sentence(self, text: str, encoding: Encoding) -> Sentence:
        ids, offsets, numbers = encoding.ids, encoding.offsets, encoding.word_ids
        words: list[Word] = []
        spoken, first, size = 0, 0, len(ids)
        while first < size:
            last = first + 1
            while last < size and numbers[last] == numbers[first] is not None:
                last += 1
            start, end = offsets[first][0], offsets[last - 1][1]
            spoken += text[start:end].isalnum()
            # Of a text that was cut, the last word may be half a word.
            whole = last < size or not encoding.overflowing
            word = text[start:end]
            if whole and word.isalpha() and not (self.stop_words and is_stop_word(word)):
                words.append(Word(start, end, tuple(ids[first:last]), first))
            first = last
        return Sentence(text, ids, words, spoken)

    def replacements(self) -> list[int]:
        """Ids that may stand for a word: whole words of letters, no subwords and nothing special.

        Single Latin letters are left out; single characters of other scripts are words.
        """
        return [
            number
            for number, subword in enumerate(self.subwords)
            if subword.isalpha()
            and number not in self.special
            and not (len(subword) == 1 and subword.isascii())
        ]


def _subwords(engine: Tokenizer) -> list[str]:
    vocabulary = engine.get_vocab(with_added_tokens=True)
    subwords = [""] * (max(vocabulary.values()) + 1)
    for subword, number in vocabulary.items():
        subwords[number] = subword
    return subwords


def written_like(word: str, original: str) -> str:
    """A word in the case of the one it stands for: FINE, Fine, or as it is.

    Example:
        >>> written_like("great", "Good")
        'Great'
    """
    if len(original) > 1 and original.isupper():
        return word.upper()
    if original[:1].isupper():
        return word[:1].upper() + word[1:]
    return word
