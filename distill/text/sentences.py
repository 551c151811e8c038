"""Where the sentences of a text begin and end, in English and Chinese, by their positions."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

# A stop and the quotes and brackets that it closes. Chinese and Japanese stops need no space behind
# them.
_STOP = re.compile(r"""[.!?…]+["'”’»)\]]*(?=\s|$) | [。！？…；]+[”’」』）"']*""", re.VERBOSE)
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*")
_LAST_WORD = re.compile(r"([^\W\d_][\w.&]*)$")
_FIRST_LETTER = re.compile(r"""[\s"'“‘«(\[—-]*(\w)""")

#: Words whose full stop is part of them, whatever comes after it.
_TITLES = frozenset(
    """mr mrs ms dr prof st rev hon messrs capt col gen lt sgt maj mme mlle m jr sr esq
    vs viz cf e.g i.e vol pp ed""".split()  # noqa: SIM905 - a list of words is easier to read so
)
#: Words whose full stop is part of them where a number follows.
_NUMBERED = frozenset({"no", "fig", "p", "ch", "art", "sec", "eq"})
_CHINESE_STOPS = "。！？；"
_BETWEEN_CHINESE = re.compile(
    r"(?<=[\u3000-\u9fff\uff00-\uffef])\s+(?=[\u3000-\u9fff\uff00-\uffef])"
)


def sentence_spans(text: str) -> list[Span]:
    """Start and end of every sentence, in order; what lies between them is white space.

    A sentence ends at ``.``, ``!``, ``?`` or ``…`` with white space behind it, or at a Chinese
    stop, with the closing quotes there; and where a paragraph does, at a blank line. It does not
    end behind a title or initial (``Mr.``, ``J.``), nor where a small letter follows in a text that
    has capitals.

    Example:
        >>> text = 'Mr. Lee came. "Late!" he said. 他走了。她来了。'
        >>> [text[start:end] for start, end in sentence_spans(text)]
        ['Mr. Lee came.', '"Late!" he said.', '他走了。', '她来了。']
    """
    cased = text != text.lower()
    return [
        span
        for start, end in _paragraphs(text)
        for span in _sentences(text, start, end, cased=cased)
    ]


def tidy(text: str) -> str:
    """A sentence in one line: white space is one space, and none between Chinese characters."""
    return " ".join(_BETWEEN_CHINESE.sub("", text).split())


def words_in(text: str) -> int:
    """How many words a sentence has; two Chinese characters count as one."""
    chinese = len(re.findall(r"[\u3400-\u9fff]", text))
    others = len(re.findall(r"[^\W_\u3400-\u9fff]+(?:['’][^\W_\u3400-\u9fff]+)*", text))
    return others + -(-chinese // 2)


def _paragraphs(text: str) -> Iterator[Span]:
    start = 0
    for match in _PARAGRAPH.finditer(text):
        yield start, match.start()
        start = match.end()
    yield start, len(text)


def _sentences(text: str, start: int, end: int, *, cased: bool) -> Iterator[Span]:
    for match in _STOP.finditer(text, start, end):
        if _ends(text, match, start, end, cased=cased):
            span = _stripped(text, start, match.end())
            if span is not None:
                yield span
            start = match.end()
    rest = _stripped(text, start, end)
    if rest is not None:
        yield rest


def _ends(text: str, match: re.Match[str], start: int, end: int, *, cased: bool) -> bool:
    """Whether a stop ends a sentence."""
    if match.group()[0] in _CHINESE_STOPS:
        return True
    following = _FIRST_LETTER.match(text, match.end(), end)
    if cased and following is not None and following.group(1).islower():
        return False
    if match.group() != ".":
        return True
    before = _LAST_WORD.search(text, start, match.start())
    if before is None:
        return True
    word = before.group(1)
    if word.lower() in _NUMBERED:
        return following is None or not following.group(1).isdigit()
    # "I." ends a sentence as a rule; other single capitals are initials.
    initial = len(word) == 1 and word.isupper() and word != "I"
    return not initial and word.lower() not in _TITLES


def _stripped(text: str, start: int, end: int) -> Span | None:
    part = text[start:end]
    left = start + len(part) - len(part.lstrip())
    right = start + len(part.rstrip())
    return (left, right) if left < right else None
