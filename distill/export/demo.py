"""A folder with a web page that runs a bundle in the browser, by transformers.js.

The page needs no server but one for files, and no network: it lies beside its libraries and the
bundle's ONNX files. What it does with the model's outputs is in ``page/readers.mjs``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from distill.export.bundle import MODEL_FILES, TOKENIZER, copy_files
from distill.runtime.manifest import MANIFEST, Manifest, read_manifest
from distill.system.atomic import new_folder, write_json, write_text
from distill.system.cache import cache_folder
from distill.system.errors import ModelError, UserError
from distill.tasks import decoder_class, make_decoder
from distill.tasks.decoder import Page
from distill.text.encoding import TextEncoder, truncation_side

#: The version of transformers.js that is fetched, and that the page is tested with.
VERSION = "4.3.2"
_PACKAGE = "@huggingface/transformers"
_ENGINE = "onnxruntime-web"
#: Of ONNX Runtime's builds for browsers the one for processors: half the size of that for GPUs.
_WASM = "ort-wasm-simd-threaded"
#: Formats that transformers.js runs, and what it calls them; the page begins with the first.
_DTYPES = {"onnx-int8": "q8", "onnx": "fp32", "onnx-int4": "q4"}
_PAGE = ("index.html", "page.css", "page.mjs", "readers.mjs", "words.mjs")
#: Names the file that says what the page shows, and makes a folder a demo.
ABOUT = "about.json"


def write_demo(bundle: Path, out: Path, *, node: Path | None = None, cdn: bool = False) -> None:
    """Write the page with all that it needs; a demo that lay there is replaced.

    Args:
        bundle: a bundle, or a run that has one.
        out: the new folder.
        node: a folder in which ``npm`` installed transformers.js; ``None`` takes it from the cache,
            where it is fetched once.
        cdn: whether the page loads the libraries from a server in the internet.

    Raises:
        ModelError: no page is made for the bundle.
        UserError: transformers.js is not there and cannot be fetched, or ``out`` is something else.
    """
    if out.exists() and not (out / ABOUT).is_file():
        raise UserError(f"{out}: there is something else; name a new folder or an earlier demo")
    manifest = read_manifest(bundle)
    about = _about(manifest)
    libraries = {} if cdn else _libraries(node)
    with new_folder(out) as temporary:
        page = resources.files("distill.export").joinpath("page")
        for name in _PAGE:
            write_text(temporary / name, page.joinpath(name).read_text("utf-8"))
        for name, source in libraries.items():
            shutil.copyfile(source, temporary / name)
        if cdn:
            address = f"https://cdn.jsdelivr.net/npm/{_PACKAGE}@{VERSION}"
            write_text(temporary / "transformers.mjs", f"export * from '{address}';\n")
        (temporary / "model" / "onnx").mkdir(parents=True)
        copy_files(manifest.folder, temporary / "model", ("config.json", *TOKENIZER))
        for name in about["formats"]:
            shutil.copyfile(manifest.file(name), temporary / "model" / MODEL_FILES[name])
        write_json(temporary / ABOUT, about | {"wasm": None if cdn else _WASM})


def _about(manifest: Manifest) -> dict[str, Any]:
    where, settings = manifest.folder, dict(manifest.settings)
    longest = manifest.max_length
    decoder = make_decoder(
        manifest.task, manifest.labels, settings, max_length=longest, folder=where
    )
    page = _page(manifest)
    formats = {name: dtype for name, dtype in _DTYPES.items() if name in manifest.formats}
    if not formats:
        raise ModelError(
            f"{where}: no page without an ONNX file (it has {', '.join(manifest.formats)}); export "
            "the format onnx-int8 or onnx too"
        )
    for name in formats:
        manifest.file(name)
    encoder = TextEncoder(where, max_length=longest, pad_id=manifest.pad_id)
    words, seconds = decoder.words, "\n".join(decoder.second_texts())
    has_second = manifest.pair or page.lines
    return {
        "name": json.loads((where / MANIFEST).read_text("utf-8"))["name"],
        "gives": f"{'A pair of texts' if manifest.pair else 'A text'} is given "
        f"{decoder.gives(manifest.labels)}.".replace("`", ""),
        "reader": page.reader,
        "names": page.names,
        "first": words.example[0],
        "second": seconds if has_second else None,
        "pair": manifest.pair,
        "labels": manifest.labels,
        "settings": settings,
        "prompt": decoder.prompted([""], None)[0],
        "max_length": longest,
        "left": truncation_side(where) == "left",
        "formats": formats,
        **(_characters(manifest, encoder) if page.places else {}),
    }


def _page(manifest: Manifest) -> Page:
    # A class that inherits a page may decode in its own way.
    page: Page | None = vars(decoder_class(manifest.task)).get("page")
    if page is None:
        raise ModelError(f"{manifest.folder}: no page is made for the task '{manifest.task}'")
    outside = [name for name, _ in manifest.beside()]
    if outside:
        raise ModelError(
            f"{manifest.folder}: its {outside[0]} is computed outside the graph, which the page "
            "does not; use distill serve"
        )
    return page


def _characters(manifest: Manifest, encoder: TextEncoder) -> dict[str, Any]:
    """What a page needs that finds the characters of tokens."""
    content = json.loads((manifest.folder / "tokenizer.json").read_text("utf-8"))
    normalizer = content.get("normalizer") or {}
    parts = ("normalizer", "pre_tokenizer", "model")
    kinds = [(content.get(part) or {}).get("type") for part in parts]
    if kinds != ["BertNormalizer", "BertPreTokenizer", "WordPiece"]:
        raise ModelError(
            f"{manifest.folder}: the page finds the characters of tokens of BERT's tokenizer only, "
            "WordPiece; use distill serve"
        )
    front, *back = encoder.encode([""])[0].ids
    return {"normalizer": normalizer, "special": {"front": [front], "back": back}}


def _libraries(node: Path | None) -> dict[str, Path]:
    """The files of transformers.js and its engine, by their names beside the page."""
    if node is None:
        folder = cache_folder() / f"transformers.js-{VERSION}"
        if not folder.is_dir():
            with new_folder(folder) as temporary:
                _fetch(temporary)
        return {path.name: path for path in folder.iterdir()}
    modules = node if node.name == "node_modules" else node / "node_modules"
    own = modules / _PACKAGE
    engine = own / "node_modules" / _ENGINE
    engine = engine if engine.is_dir() else modules / _ENGINE
    files = {"transformers.mjs": own / "dist" / "transformers.min.js"} | {
        name: engine / "dist" / name for name in (f"{_WASM}.mjs", f"{_WASM}.wasm")
    }
    for path in files.values():
        if not path.is_file():
            raise UserError(
                f"{path}: missing; install it there: npm install --prefix {modules.parent} "
                f"{_PACKAGE}@{VERSION}"
            )
    return files


def _fetch(folder: Path) -> None:
    """Get the libraries from npm's registry; nothing that they depend on is installed."""
    with tempfile.TemporaryDirectory() as work:
        own = _packed(f"{_PACKAGE}@{VERSION}", Path(work))
        depends = json.loads((own / "package.json").read_text("utf-8"))["dependencies"]
        shutil.copyfile(own / "dist" / "transformers.min.js", folder / "transformers.mjs")
        engine = _packed(f"{_ENGINE}@{depends[_ENGINE]}", Path(work))
        for end in ("mjs", "wasm"):
            shutil.copyfile(engine / "dist" / f"{_WASM}.{end}", folder / f"{_WASM}.{end}")


def _packed(package: str, work: Path) -> Path:
    """The unpacked files of a package of npm."""
    otherwise = (
        f"name a folder where `npm install {_PACKAGE}@{VERSION}` was run (--node FOLDER), or let "
        "the page load it from the internet (--cdn)"
    )
    command = ["npm", "pack", "--json", "--pack-destination", str(work), package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=work)
    except OSError as error:
        raise UserError(
            f"the page needs transformers.js, and npm is not here; {otherwise}"
        ) from error
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if line.strip()), "no message")
        raise UserError(f"npm cannot fetch {package} ({why}); {otherwise}")
    [found] = json.loads(done.stdout)
    target = work / package.rpartition("@")[0].replace("/", "-")
    with tarfile.open(work / found["filename"].replace("@", "").replace("/", "-")) as archive:
        archive.extractall(target, filter="data")
    return target / "package"
