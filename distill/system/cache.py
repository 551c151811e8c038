"""Where caches lie: tokenised data, teacher logits, the built-in data set."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The cache folder: ``$DISTILL_CACHE``, else ``distill`` below the user's cache folder."""
    chosen = os.environ.get("DISTILL_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "distill"
