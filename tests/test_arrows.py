"""Dependencies point one way: checked over the source, without importing it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("distill", "students", "teachers")

#: Rooms of `distill` from the top down; a room may import its own and those further down.
LAYERS = (
    ("cli",),
    ("pipeline",),
    ("stages",),
    ("pruning",),
    ("evaluation", "export", "inspection", "quantization", "report", "tracking", "training"),
    ("capture", "data", "objectives", "runtime", "tasks"),
    ("recipe", "text"),
    ("files",),
    ("system",),
)
#: Third-party packages that a room may import, where it may not import all.
THIRD_PARTY: dict[str, set[str]] = {
    "files": {"pyarrow"},
    "recipe": {"pydantic", "pydantic_core", "yaml"},
    "runtime": {
        "numpy",
        "onnxruntime",
        "openvino",
        "pyarrow",
        "tokenizers",
        "fastapi",
        "pydantic",
        "starlette",
    },
    "text": {"numpy", "tokenizers"},
}
#: What of ours a room may import beside itself, where it is less than all rooms below.
FILES = {f"distill.files.{name}" for name in ("bad_rows", "lines", "parquet", "rows")}
SYSTEM = {"distill.system", "distill.system.errors", "distill.system.processor"}
OWN = {
    "files": SYSTEM,
    "recipe": SYSTEM
    | {"distill.section", "distill.tasks", "distill.tasks.config"}
    | {"distill.pruning.methods", "distill.quantization.methods"}
    | FILES,
    "runtime": SYSTEM
    | {"distill.system.atomic", "distill.system.digest"}
    | {"distill.tasks", "distill.tasks.decoder"}
    | FILES,
    "text": SYSTEM | FILES,
}
#: Single files that everyone may use; they use nothing of ours but `system`.
FOUNDATION = {"distill", "distill.section"}
HEAVY = {"torch", "transformers", "lightning", "nni", "datasets", "wandb", "onnx", "onnxruntime"}
HEAVY |= {"openvino", "nncf"}


def modules():
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(tree, *, everywhere):
    """Names imported; with `everywhere` inside functions too, never under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node, everywhere=everywhere)


MODULES = dict(modules())
#: Where parts of a recipe are declared beside their code, which is imported only where it works.
SECTIONS = {
    name
    for name in MODULES
    if name.startswith(("distill.pruning.methods", "distill.quantization.methods"))
    or (name.startswith("distill.tasks") and name.endswith(".config"))
}
#: Those, and the list of the kinds of task.
DECLARED = SECTIONS | {"distill.tasks"}
ALL = {
    name: set(imports(ast.parse(path.read_text("utf-8")), everywhere=True))
    for name, path in MODULES.items()
}
AT_IMPORT = {
    name: set(imports(ast.parse(path.read_text("utf-8")), everywhere=False))
    for name, path in MODULES.items()
}


def room_of(name):
    parts = name.split(".")
    known = {room for layer in LAYERS for room in layer}
    return parts[1] if parts[0] == "distill" and len(parts) > 1 and parts[1] in known else None


def level(room):
    return next(n for n, layer in enumerate(LAYERS) if room in layer)


def ours(names):
    """Modules of ours among imported names (`from a import b` gives both `a` and `a.b`)."""
    return {name for name in names if name in MODULES}


def third_party(names):
    tops = {name.partition(".")[0] for name in names if name}
    return tops - set(sys.stdlib_module_names) - {*PACKAGES, "recipes"}


def test_every_folder_is_a_room_that_is_drawn():
    folders = {
        path.name for path in (ROOT / "distill").iterdir() if (path / "__init__.py").exists()
    }
    assert folders == {room for layer in LAYERS for room in layer}


@pytest.mark.parametrize("name", [name for name in MODULES if room_of(name)])
def test_rooms_import_downwards(name):
    room = room_of(name)
    assert room is not None
    upwards = {
        other
        for other in ours(ALL[name])
        if (below := room_of(other)) and below != room and level(below) < level(room)
    }
    assert upwards - DECLARED == set()


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_sections_import_nothing_but_sections(name):
    others = ours(AT_IMPORT[name]) - DECLARED
    assert others <= {"distill.section", "distill.system.errors"}
    assert third_party(AT_IMPORT[name]) <= {"pydantic"}


@pytest.mark.parametrize("room", sorted(THIRD_PARTY))
def test_rooms_that_stay_light(room):
    for name in MODULES:
        if room_of(name) != room:
            continue
        assert third_party(AT_IMPORT[name]) <= THIRD_PARTY[room], name
        assert third_party(ALL[name]) <= THIRD_PARTY[room], name
        others = {other for other in ours(ALL[name]) if room_of(other) not in (room, "text")}
        assert others <= OWN[room] | {"distill"}, name


def test_bundles_are_served_without_torch():
    loaded = {n for n in MODULES if n == "distill.tasks.decoder" or n.endswith(".decode")}
    while more := set().union(*(ours(ALL[name]) for name in loaded)) - loaded:
        loaded |= more
    assert {room_of(name) for name in loaded} - {None} <= {"files", "system", "tasks", "text"}
    for name in loaded:
        assert third_party(AT_IMPORT[name]) <= {"numpy", "tokenizers"}, name


@pytest.mark.parametrize("name", [n for n in MODULES if n.startswith(("students", "teachers"))])
def test_models_know_nothing_of_stages(name):
    known = {room_of(other) for other in ours(ALL[name])} - {None}
    # A student's sizes are told without torch too, so they live with the recipe; a teacher's
    # logits are computed over tokenised data.
    assert known <= {"recipe", "data", "system"}


@pytest.mark.parametrize("name", [n for n in MODULES if room_of(n) == "cli"])
def test_commands_import_heavy_things_only_when_they_work(name):
    assert third_party(AT_IMPORT[name]) <= {"typer", "rich"}


def test_reports_need_no_torch():
    for name in MODULES:
        if room_of(name) == "report":
            assert third_party(ALL[name]).isdisjoint(HEAVY), name


def test_four_files_know_nni():
    knowing = {name for name in MODULES if "nni" in third_party(ALL[name])}
    pipeline = {f"distill.pipeline.{name}" for name in ("tuner", "nni_engine", "trial")}
    assert knowing <= {"distill.quantization.int8_training", *pipeline}


def test_the_foundation_stands_on_nothing_of_ours():
    below = {name for name in MODULES if room_of(name) == "system"}
    for name in below | FOUNDATION - {"distill"}:
        assert ours(ALL[name]) <= below | FOUNDATION, name


@pytest.mark.parametrize(
    "module", ["distill", "distill.recipe.loader", "distill.runtime", "distill.report"]
)
def test_light_imports_load_nothing_heavy(module):
    code = (
        f"import sys, {module}\n"
        f"print(sorted(set({sorted(HEAVY - {'onnxruntime'})!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
