from __future__ import annotations

from pathlib import Path

from distill.errors import Fault


def test_a_fault_is_one_line_whatever_the_recipe_says() -> None:
    fault = Fault(Path("a.yaml"), 3, "student.size", "unknown size '\x1e\n\u2028'; write 3x384")
    line = r"a.yaml:3: student.size: unknown size '\x1e\n\u2028'; write 3x384"
    assert str(fault) == line
