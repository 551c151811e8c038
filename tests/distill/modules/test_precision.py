from __future__ import annotations

import pytest
import torch

from distill.modules.precision import resolve_precision
from distill.recipe.schema import TrainerConfig


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, "fp32"),
        ({"avx512_f": True}, "fp32"),
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
    ],
)
def test_auto_asks_the_processor(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    config = TrainerConfig(accelerator="cpu")
    assert resolve_precision(config) == expected


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_said_is_done(precision: str) -> None:
    config = TrainerConfig(precision=precision)  # type: ignore[arg-type]
    assert resolve_precision(config) == precision
