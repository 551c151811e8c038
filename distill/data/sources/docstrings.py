"""Real text from every machine: first paragraphs of docstrings, labelled with their library.

The libraries are ones that this project's own dependencies install. Their source files are read
and parsed, never imported or run.

What becomes a row: the first paragraph of a module's, class's or function's docstring, white space
joined, of 4 to 100 words, that is not a mere signature and does not name its own library (the
label would be in the text). A text that stands in two libraries has both labels; where a row has
one label it is left out. At most :data:`CAP` rows a
library are kept, so that the largest has about 4.5 times as many as the smallest. Which rows are
kept and which split each goes to (8:1:1) is decided by the hash of its text: not by the order
of files, nor by a seed.

With the versions pinned for this project that makes about 34,700 rows of 13 libraries, and about 70
more that stand in several.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import importlib.metadata
import importlib.util
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distill.system.console import Bar

#: Changes whenever other rows would be made of the same libraries.
VERSION = 2
#: Most rows of one library.
CAP = 4500

_WORDS = (4, 100)
# Files are visited in the order of their names' hashes until so many texts above the cap are found:
# the largest libraries need not be read to the end, and what is left out is drawn evenly.
_SURPLUS = 1.15
_SKIPPED_FOLDERS = frozenset(
    ["tests", "test", "testing", "_testing", "_vendor", "vendor", "vendored", "externals"]
)


@dataclass(frozen=True)
class Library:
    """A library whose docstrings are read."""

    label: str  # its name as a label, which is also its name in the package index
    module: str  # the name it is imported by
    # what would give it away in a text, as regular expressions in lower case
    names: tuple[str, ...]


LIBRARIES = (
    Library("huggingface-hub", "huggingface_hub", ("hugging ?face", "hf_?hub")),
    Library("lightning", "lightning", ("lightning",)),
    Library("matplotlib", "matplotlib", ("matplotlib", "mpl", "pyplot")),
    Library("networkx", "networkx", ("networkx", "nx")),
    Library("nni", "nni", ("nni",)),
    Library("numpy", "numpy", ("numpy", "np")),
    Library("pandas", "pandas", ("pandas", "pd")),
    Library("scikit-learn", "sklearn", ("sklearn", "scikit[- ]?learn", "scikits?")),
    Library("scipy", "scipy", ("scipy",)),
    Library("sympy", "sympy", ("sympy",)),
    Library("torch", "torch", ("torch", "pytorch")),
    Library("transformers", "transformers", ("transformers",)),
    Library("wandb", "wandb", ("wandb", "w&b", "weights (?:&|and) biases")),
)

_SECTION = re.compile(
    r"(?:args|arguments|parameters|params|returns?|raises|yields?|attributes|examples?|notes?|"
    r"inputs?|outputs?)\s*:?\s*$|[-=~^]{3,}\s*$|:param|:return|\.\. |>>>|@",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"[\w.]+\s*\(.*\)\s*(?:->.*)?$|[\w.]+\s*\([^)]*\)\s*->")
_ADDRESS = re.compile(r"\w+://\S+")
_WORD = re.compile(r"[^\W\d_]{2,}")


def versions() -> dict[str, str]:
    """The version of each library that is installed: what the rows depend on."""
    found = {}
    for library in LIBRARIES:
        try:
            found[library.label] = importlib.metadata.version(library.label)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def gather() -> list[tuple[str, str, list[str]]]:
    """Rows of the installed libraries, see :func:`select`; takes some seconds."""
    present = versions()
    libraries = [library for library in LIBRARIES if library.label in present]
    texts: dict[str, set[str]] = {}
    with Bar("read docstrings", len(libraries)) as bar, no_garbage_collection():
        for library in libraries:
            texts[library.label] = texts_of(library)
            bar.advance(status=f"{library.label}: {len(texts[library.label]):,}")
    return select(texts)


def select(texts: dict[str, set[str]]) -> list[tuple[str, str, list[str]]]:
    """Cap each label, and give each row its split by hash; texts of several labels are all kept.

    Rows are (split, text, labels in alphabetical order), sorted by the hash of their text. Texts
    that differ in upper and lower case alone are one text in the form whose hash is lowest.
    """
    owners: dict[str, dict[str, list[str]]] = {}
    for label, found in texts.items():
        for text in found:
            owners.setdefault(text.casefold(), {}).setdefault(text, []).append(label)
    rows: list[tuple[bytes, str, list[str]]] = []
    own: dict[str, list[tuple[bytes, str]]] = {label: [] for label in texts}
    for forms in owners.values():
        labels = sorted(label for found in forms.values() for label in found)
        if len(labels) == 1:
            own[labels[0]] += [(hash_of(text), text) for text in forms]
        elif len(set(labels)) > 1:
            key, text = min((hash_of(text), text) for text in forms)
            rows.append((key, text, sorted(set(labels))))
    for label, found_here in own.items():
        rows += [(key, text, [label]) for key, text in sorted(found_here)[:CAP]]
    return [(split_of(text), text, labels) for _, text, labels in sorted(rows)]


def hash_of(text: str) -> bytes:
    """What decides which rows are kept, and in which order: 32 bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def split_of(text: str) -> str:
    """The split (8:1:1) that a text, or the name of its source, goes to."""
    # Another hash than the one that caps: the kept rows are those with the lowest of that.
    tenth = int.from_bytes(hash_of(f"split:{text}")[:8], "big") * 10 >> 64
    return {0: "test", 1: "validation"}.get(tenth, "train")


def texts_of(library: Library) -> set[str]:
    """The texts that an installed library gives, capped roughly."""
    own_name = re.compile(rf"(?<![a-z])(?:{'|'.join(library.names)})(?![a-z])", re.IGNORECASE)
    found: set[str] = set()
    for _, path in files(library.module):
        for _, docstring in docstrings(path):
            text = paragraph(docstring)
            if text is not None and not own_name.search(text):
                found.add(text)
        if len(found) > CAP * _SURPLUS:
            break
    return found


def files(module: str) -> list[tuple[str, Path]]:
    """A package's source files with their names in it, by the names' hashes.

    Tests and vendored packages are left out.
    """
    # A top-level name is only looked up: nothing of the package runs.
    spec = importlib.util.find_spec(module)
    found: list[tuple[bytes, str, Path]] = []
    for root in map(Path, (spec.submodule_search_locations or []) if spec else []):
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).parts
            if _SKIPPED_FOLDERS.isdisjoint(parts[:-1]):
                name = "/".join(parts)
                found.append((hash_of(name), name, path))
    return [(name, path) for _, name, path in sorted(found)]


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the docstrings in a Python source file with the names they stand under.

    A method's name has its class before it (``Table.append``); a module's is empty. A file that
    cannot be parsed has none.
    """
    source = path.read_bytes()
    if b'"""' not in source and b"'''" not in source:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other people's escape sequences
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    waiting: list[tuple[str, ast.AST]] = [("", tree)]
    while waiting:
        owner, node = waiting.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            name = "" if isinstance(node, ast.Module) else node.name
            if docstring:
                yield f"{owner}.{name}" if owner else name, docstring
            # What is in a function belongs to nobody outside it.
            owner = name if isinstance(node, ast.ClassDef) else ""
        waiting.extend((owner, block) for block in _blocks(node))


def _blocks(node: ast.AST) -> Iterable[ast.AST]:
    """Statements in a statement that have statements of their own; expressions are left out."""
    for field in ("body", "orelse", "finalbody", "handlers"):
        inner = getattr(node, field, None)
        if isinstance(inner, list):
            yield from (statement for statement in inner if hasattr(statement, "body"))


def paragraph(docstring: str) -> str | None:
    """The first paragraph of a docstring on one line, or ``None`` where it says too little."""
    lines: list[str] = []
    for line in docstring.strip().splitlines():
        bare = line.strip()
        if not bare or _SECTION.match(bare):
            break
        lines.append(bare)
    text = " ".join(" ".join(lines).split())
    words = len(_WORD.findall(_ADDRESS.sub(" ", text)))
    if not _WORDS[0] <= words or len(text.split()) > _WORDS[1] or _SIGNATURE.match(text):
        return None
    if not text.isprintable():
        return None
    return text


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Syntax trees are many small objects in no cycles: collecting among them doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
