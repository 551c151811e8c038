"""What is imported is declared, what is declared is pinned, and there is nothing else."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OURS = ("distill", "students", "teachers", "recipes")
#: Modules that come with a distribution of another name.
OF = {
    "huggingface_hub": "huggingface-hub",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
#: What the repository holds: no data, no weights, no pictures.
KINDS = {
    ".css",
    ".cff",
    ".html",
    ".j2",
    ".md",
    ".mjs",
    ".py",
    ".toml",
    ".txt",
    ".typed",
    ".yaml",
    "",
}


def declared(*extras):
    lines = list(PROJECT["dependencies"]) if not extras else []
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {re.split(r"[<>=~!\[ ]", line)[0] for line in lines}


def imported():
    found = set()
    for package in OURS:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found.add(node.module or "")
    tops = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {*OURS, ""}
    return {OF.get(name, name) for name in tops}


def test_what_is_imported_is_declared():
    assert imported() - declared() - declared("openvino", "serve") == set()


def test_what_is_declared_is_imported():
    # onnxscript is imported by torch's exporter.
    assert declared() - imported() == {"onnxscript"}


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_what_a_benchmark_imports_is_there(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in OURS:
            module = importlib.import_module(node.module or "")
            missing = [one.name for one in node.names if not hasattr(module, one.name)]
            assert not [n for n in missing if not _is_module(f"{node.module}.{n}")], node.module


def _is_module(name):
    return importlib.util.find_spec(name) is not None


def test_every_direct_dependency_is_pinned_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert set(pinned) == declared() | declared("offline", "openvino", "dev")
    assert pinned["torch"] == "2.13.0"


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_the_repository_holds_no_data_and_no_weights():
    files = [path for path in tracked() if path.exists()]
    assert {path.suffix for path in files if not path.name.startswith(".")} <= KINDS
    assert [path for path in files if path.stat().st_size > 100_000] == []
