from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """``tiny_pruning.py`` beside this file, which the import mode of these tests cannot name."""
    path = Path(__file__).with_name("tiny_pruning.py")
    spec = importlib.util.spec_from_file_location("tiny_pruning", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
