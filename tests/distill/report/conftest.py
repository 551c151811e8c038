"""Results as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from distill.evaluation.results import Results


@pytest.fixture
def sample(sample_results: Callable[..., dict[str, Any]]) -> Callable[..., Results]:
    """What ``sample_results`` gives, as results and not as their file's content."""
    return lambda *given, **changes: Results.model_validate(sample_results(*given, **changes))
