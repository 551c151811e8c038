"""A tiny classifier with random weights, batches, and a loss that each example has by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import BertConfig, BertForSequenceClassification

HEADS, HEAD_DIM, HIDDEN, FFN, LAYERS, VOCAB = 4, 3, 12, 10, 3, 60


def make_config(**more: Any) -> BertConfig:
    return BertConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        num_attention_heads=HEADS,
        intermediate_size=FFN,
        max_position_embeddings=32,
        initializer_range=0.3,
        **{"num_hidden_layers": LAYERS} | more,
    )


def drawn(kind: Callable[[BertConfig], Any], config: BertConfig, seed: int) -> Any:
    """A model whose biases are not zero: a lost one would not be seen."""
    torch.manual_seed(seed)
    model = kind(config).eval()
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(weight, std=0.2)
    return model


def make_model(seed: int = 3, layers: int = LAYERS) -> BertForSequenceClassification:
    return drawn(BertForSequenceClassification, make_config(num_hidden_layers=layers), seed)


def make_batches(
    count: int = 3, rows: int = 4, dtype: torch.dtype = torch.float32
) -> list[dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(5)
    found = []
    for _ in range(count):
        mask = torch.ones(rows, 8, dtype=torch.int64)
        mask[0, 5:] = 0
        found.append(
            {
                "input_ids": torch.randint(5, 60, (rows, 8), generator=random),
                "attention_mask": mask,
                "target": torch.randn(rows, 2, generator=random).to(dtype),
            }
        )
    return found


def loss_of(model, batch):
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return (logits - batch["target"]).square().mean()


def logits_of(model, batches) -> torch.Tensor:
    names = ("input_ids", "attention_mask")
    with torch.no_grad():
        return torch.cat([model(**{k: b[k] for k in names}).logits for b in batches])
