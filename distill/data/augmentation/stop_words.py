"""Words that augmentation leaves as they are: they carry the grammar, and often the label."""

from __future__ import annotations

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
