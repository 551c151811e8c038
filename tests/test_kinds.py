"""Kinds of task are known by name in their own folders alone."""

import ast
import re
from pathlib import Path

import pytest

from distill.tasks import KINDS

ROOT = Path(__file__).resolve().parents[1]
TASKS = ROOT / "distill" / "tasks"
#: Kinds whose names nothing else has: heads are called `classification` and `vectors` too, a column
#: and a segment of Markdown `text`, and transformers' `problem_type` is `regression`.
OWN_NAMES = {"multi_label", "ner", "qa", "ranking"}
FILES = [
    path
    for path in sorted((ROOT / "distill").rglob("*"))
    if path.suffix in (".py", ".j2") and TASKS not in path.parents
]


def classes():
    """Every class of a kind's folder."""
    trees = [ast.parse(path.read_text("utf-8")) for path in TASKS.glob("*/*.py")]
    return {node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}


CLASSES = classes()


def issues(tree):
    for node in ast.walk(tree):
        text = ast.unparse(node) if isinstance(node, ast.expr) else ""
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            named = {
                ast.unparse(part) for part in ast.walk(node.args[1]) if isinstance(part, ast.expr)
            }
            if named & CLASSES:
                yield text
        elif isinstance(node, ast.Compare):
            sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
            constants = {
                part.value for part in ast.walk(node) if isinstance(part, ast.Constant)
            } & set(KINDS)
            if any(re.search(r"\btask(\.kind)?$", side) for side in sides) and constants:
                yield text
        elif isinstance(node, ast.Constant) and node.value in OWN_NAMES:
            yield text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_kind_is_known_outside_its_folder(path):
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        assert list(issues(ast.parse(text))) == []
    else:
        names = "|".join(KINDS)
        assert re.findall(rf"(?:kind|task) (?:[=!]=|(?:not )?in) [('\"]*(?:{names})\b", text) == []


@pytest.mark.parametrize(
    "line",
    ["isinstance(x, NerTask)", "recipe.task.kind == 'vectors'", "kind in ('qa', 'ner')",
     "results.task != 'classification'", "isinstance(x, Ner | QuestionAnswering)"],
)  # fmt: skip
def test_such_lines_are_found(line):
    assert list(issues(ast.parse(line)))
