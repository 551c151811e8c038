from __future__ import annotations

import errno
from pathlib import Path

from distill.system.errors import Issue, full_disk


def test_a_issue_is_one_line_whatever_the_recipe_says() -> None:
    issue = Issue(Path("a.yaml"), 3, "student.size", "unknown size '\x1e\n\u2028'; write 3x384")
    line = r"a.yaml:3: student.size: unknown size '\x1e\n\u2028'; write 3x384"
    assert str(issue) == line


def test_a_full_disk_is_found_behind_other_errors() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "runs/a/x.bin")
    assert full_disk(full) is full
    behind = ValueError("could not be written")
    behind.__cause__ = full
    assert full_disk(behind) is full
    told = RuntimeError("I/O error: No space left on device (os error 28)")
    assert full_disk(told) is told
    assert full_disk(OSError(errno.EACCES, "Permission denied")) is None
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert full_disk(first) is None
