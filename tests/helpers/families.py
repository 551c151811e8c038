"""Small models of every family, and batches for them."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from students.family import PRUNED, family_of
from students.heads import class_of
from students.pooling import POOLING
from students.pruned import pruned_config

_V2 = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
#: Settings beside the families' own; behind a comma a variant.
_OWN: dict[str, dict[str, Any]] = {
    "electra": {"embedding_size": 8},
    "electra, one width": {"embedding_size": 16},
    "deberta-v2": _V2,
    "deberta-v2, v3": {
        **_V2,
        "position_buckets": 4,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
    },
    "deberta-v2, conv": {"conv_kernel_size": 3, "conv_act": "gelu"},
    "albert": {"embedding_size": 8, "num_hidden_groups": 2},
    "modernbert": {"local_attention": 4, "global_attn_every_n_layers": 2},
}
#: Families that do not know types of tokens.
_NO_TYPES = ("distilbert", "mpnet", "modernbert", "deberta-v2")


def positions_kept(kind: str) -> int:
    """How many positions a family keeps for itself."""
    return 2 if "roberta" in kind or kind in ("camembert", "mpnet") else 0


def tiny_model(
    kind: str, head: str = "classification", *, layers: int = 2, **changes: Any
) -> PreTrainedModel:
    """A model 16 wide, with 4 heads, 12 neurons, 32 positions and 3 labels (2 for spans)."""
    name = kind.partition(",")[0]
    family = family_of(name)
    settings: dict[str, Any] = {
        "vocab_size": 40,
        "hidden_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        family.ffn_size: 12,
        "max_position_embeddings": 32,
        "num_labels": 2 if head == "spans" else 3,
        "pad_token_id": int(positions_kept(kind) > 0),
    }
    if family.name not in _NO_TYPES:
        settings["type_vocab_size"] = 1 if positions_kept(kind) else 2
    stock = getattr(transformers, f"{family.prefix}Config")
    made = pruned_config(family.name) if name.startswith(PRUNED) else stock
    config = made(**settings | _OWN.get(kind, {}) | changes)
    if head == "vectors":
        setattr(config, POOLING, "mean")
    torch.manual_seed(3)
    model = class_of(config, head)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # random weights hardly tell tokens apart otherwise
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    model.config.architectures = [type(model).__name__]
    return model


def tiny_batch(model: PreTrainedModel, rows: int = 3, length: int = 7) -> dict[str, torch.Tensor]:
    """Rows of random tokens, the second one shorter, of two types each."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(rows, length, dtype=torch.int64)
    mask[1, 4:] = 0
    ids = torch.randint(5, 40, (rows, length), generator=generator)
    types = torch.zeros_like(ids)
    types[:, 3:] = 1  # what a BERT's tokenizer gives; a RoBERTa does not read it
    return {
        "input_ids": ids.masked_fill(mask == 0, model.config.pad_token_id),
        "attention_mask": mask,
        "token_type_ids": types * mask,
    }
