from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from distill.training.base import attention_kernel, step_seed


def test_seeds_differ_in_their_low_bits_for_neighbours() -> None:
    seeds = [
        step_seed(seed, step, rank) & 0xFFFFFFFF  # what torch's CPU generator takes
        for seed in range(10)
        for step in range(500)
        for rank in range(4)
    ]
    assert len(set(seeds)) > len(seeds) - 3  # a collision or two of 32 bits may be chance


def test_seeds_are_taken_by_torch_and_stay_what_they_are() -> None:
    assert 0 <= step_seed(2**31 - 1, 10**9, 1000) < 2**63
    # Checkpoints of earlier versions go on with the same dropout only while this holds.
    assert step_seed(5, 7, 0) == 6884695015576267625


def _grad_function() -> str:
    query = torch.randn(1, 1, 4, 8, requires_grad=True)
    return type(scaled_dot_product_attention(query, query, query).grad_fn).__name__


def test_bf16_on_a_cpu_trains_without_the_fused_kernel() -> None:
    cpu = torch.device("cpu")
    with attention_kernel(cpu):
        assert "Flash" in _grad_function()  # fp32: torch chooses
    with torch.autocast("cpu", torch.bfloat16):
        assert "Flash" in _grad_function()
        with attention_kernel(cpu):
            assert "Flash" not in _grad_function()
