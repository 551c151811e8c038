from __future__ import annotations

from distill.tasks.classification.data import READER

__all__ = ["READER"]
