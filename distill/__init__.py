"""Distil, prune, quantise and export BERT-family encoders, and prove what was paid for it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.pipeline.runner import resume, run
    from distill.recipe.loader import load_recipe
    from distill.training.distill import DistillModule

__version__ = "0.1.0"
__all__ = ["DistillModule", "__version__", "load_recipe", "resume", "run"]

# Public names and where they live: imported when first asked for, so that `import distill`
# costs nothing and the light commands never load torch.
_LAZY = {
    "DistillModule": "distill.training.distill",
    "load_recipe": "distill.recipe.loader",
    "resume": "distill.pipeline.runner",
    "run": "distill.pipeline.runner",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'distill' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
