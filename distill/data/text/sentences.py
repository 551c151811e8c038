"""Where sentences end, well enough to part a text between them."""

from __future__ import annotations

import re

# A full stop with a space behind it, with closing quotes and brackets in between; Chinese and
# Japanese stops need no space.
_END = re.compile(
    r"""(?<=[.!?…])["'”’»)\]]*\s+ | (?<=[。！？；])[”’」』）]*\s*""",
    re.VERBOSE,
)


def split_sentences(line: str) -> list[str]:
    """A line's sentences; joined, they have the line's signs but white space between them.

    The ends are guessed from punctuation: "Mr. Smith" is parted too. Where a sequence is cut does
    not need more.

    Example:
        >>> split_sentences('"It is late." He went. 他走了。她来了。')
        ['"It is late."', 'He went.', '他走了。', '她来了。']
    """
    found, start = [], 0
    for match in _END.finditer(line):
        # Closing quotes belong to the sentence that they close.
        end = match.end()
        sentence = line[start:end].strip()
        if sentence:
            found.append(sentence)
        start = end
    rest = line[start:].strip()
    return [*found, rest] if rest else found
