"""Which attention kernel a training step takes."""

import torch
from torch.nn.functional import scaled_dot_product_attention

from distill.training.base import attention_kernel


def _grad_function() -> str:
    query = torch.randn(1, 1, 4, 8, requires_grad=True)
    return type(scaled_dot_product_attention(query, query, query).grad_fn).__name__


def test_bf16_on_a_cpu_trains_without_the_fused_kernel():
    cpu = torch.device("cpu")
    with attention_kernel(cpu):
        assert "Flash" in _grad_function()  # fp32: torch chooses
    with torch.autocast("cpu", torch.bfloat16):
        assert "Flash" in _grad_function()
        with attention_kernel(cpu):
            assert "Flash" not in _grad_function()
