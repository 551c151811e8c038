"""Static students: one vector for each token, their mean, and a head; no layers.

Legend: V tokens, B batch, L length, D width of the student, H of the teacher, C outputs.

Reference: Minish 2024, Model2Vec (token vectors from a sentence encoder, PCA, weights by Zipf's
law); Arora et al. 2017, A Simple but Tough-to-Beat Baseline for Sentence Embeddings (SIF weights).
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from distill.recipe.model_shapes import student_positions
from distill.system.console import Bar
from distill.system.errors import ModelError
from students.heads import head_of, logits_of

#: ``config.model_type``.
STATIC = "static"
#: The a of a / (a + p): how rare a token is that weighs half of one that never occurs.
SMOOTHING = 1e-3
_BATCH = 512


@strict
class StaticConfig(PreTrainedConfig):
    """A static student's sizes.

    ``head_size`` is the number of neurons of the head's hidden layer, ``None`` for a linear one;
    tokens of ``special_ids`` do not count in the mean.
    """

    model_type = STATIC

    vocab_size: int = 30522
    hidden_size: int = 256
    num_hidden_layers: int = 0
    head_size: int | None = None
    special_ids: list[int] | None = None
    dropout: float | int = 0.1
    max_position_embeddings: int = 512
    pad_token_id: int | None = 0
    initializer_range: float = 0.02


class _Static(PreTrainedModel):
    config_class = StaticConfig
    base_model_prefix = STATIC

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


class StaticModel(_Static):
    """The mean of the tokens' vectors, special tokens left out."""

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        self.table = nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.table = cast(nn.Embedding, value)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """The vectors of a batch of token ids (B, L) as ``logits``, (B, D)."""
        special = torch.tensor(self.config.special_ids or [], device=input_ids.device)
        counts = ~torch.isin(input_ids, special)  # (B, L)
        if attention_mask is not None:
            counts &= attention_mask.bool()
        shares = counts.unsqueeze(-1).to(self.table.weight.dtype)  # (B, L, 1)
        total = (self.table(input_ids) * shares).sum(dim=1)  # (B, D)
        # The vector of a text without tokens is 0.
        mean = total / shares.sum(dim=1).clamp(min=1)
        return SequenceClassifierOutput(logits=mean)


class StaticForSequenceClassification(_Static):
    """A head on a :class:`StaticModel`: linear, or with one hidden layer."""

    def __init__(self, config: StaticConfig) -> None:
        super().__init__(config)
        width = config.hidden_size if config.head_size is None else config.head_size
        self.static = StaticModel(config)
        if config.head_size is not None:
            self.dense = nn.Linear(config.hidden_size, width)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(width, int(config.num_labels or 0))
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """Logits (B, C) of a batch of token ids (B, L)."""
        vectors = self.static(input_ids, attention_mask).logits
        if self.config.head_size is not None:
            vectors = torch.relu(self.dense(self.dropout(vectors)))
        return SequenceClassifierOutput(logits=self.classifier(self.dropout(vectors)))


AutoConfig.register(STATIC, StaticConfig, exist_ok=True)
AutoModel.register(StaticConfig, StaticModel, exist_ok=True)
AutoModelForSequenceClassification.register(
    StaticConfig, StaticForSequenceClassification, exist_ok=True
)


def build_static(
    teacher: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    *,
    dim: int,
    weights: npt.NDArray[np.float64],
    vectors: npt.NDArray[np.float64] | None = None,
    head: str = "classification",
    head_size: int | None = None,
    seed: int = 0,
) -> PreTrainedModel:
    """A static student whose table is the teacher's vectors of single tokens.

    Each token goes through the teacher alone, between the special tokens of a text. The vectors
    are brought to D dimensions by PCA, weighted, and scaled so that their mean square is 1 / D.

    Args:
        teacher: the model to learn from; it is not changed.
        tokenizer: its tokenizer.
        dim: D.
        weights: of each token, (V,); see :func:`frequency_weights`.
        vectors: what :func:`token_vectors` gives, where it is known, (V, H).
        head: ``classification`` or ``vectors``.
        head_size: neurons of the head's hidden layer; ``None`` for a linear head.
        seed: draws the head.

    Raises:
        ModelError: the teacher's vectors have fewer than D dimensions.
    """
    if vectors is None:
        vectors = token_vectors(teacher, tokenizer)  # (V, H)
    special = special_ids(tokenizer)
    table = _table(vectors, np.setdiff1d(np.arange(len(vectors)), special), dim, weights)
    theirs = teacher.config.to_dict()
    names = ("id2label", "label2id", "problem_type", "pad_token_id")
    config = StaticConfig.from_dict(
        {name: theirs[name] for name in names if theirs.get(name) is not None}
        | {
            "vocab_size": len(vectors),
            "hidden_size": dim,
            "head_size": head_size,
            "special_ids": special,
            "max_position_embeddings": student_positions(theirs),
        }
    )
    made = StaticModel if head == "vectors" else StaticForSequenceClassification
    config.architectures = [made.__name__]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student: Any = made(config)
    student.get_input_embeddings().weight.data.copy_(torch.from_numpy(table))
    student.eval()
    found: PreTrainedModel = student
    return found


def _table(
    vectors: npt.NDArray[np.float64],
    plain: npt.NDArray[np.int64],
    dim: int,
    weights: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Vectors of tokens (V, H) as a table (V, D); what tokens that are no special ones vary in."""
    from sklearn.decomposition import PCA

    most = min(vectors.shape[1], len(plain))
    if dim > most:
        raise ModelError(
            f"student.dim: {dim} is more than the teacher's vectors of {len(plain)} tokens have "
            f"({vectors.shape[1]} dimensions); write {most} or less"
        )
    pca = PCA(n_components=dim, svd_solver="covariance_eigh").fit(vectors[plain])
    table = pca.transform(vectors) * weights[:, None]
    table /= np.sqrt(np.square(table[plain]).sum(axis=1).mean()) or 1.0
    return np.asarray(table)


def special_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Tokens that are no part of a text; the one for what is unknown stands for a part."""
    return sorted({int(one) for one in tokenizer.all_special_ids} - {tokenizer.unk_token_id})


def token_vectors(
    teacher: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> npt.NDArray[np.float64]:
    """What a teacher makes of each token alone: its sentence vector, or its mean hidden state.

    Returns:
        (V, H).
    """
    around = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    before, after = ([] if one is None else [one] for one in around)
    size = int(teacher.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    gives_vectors = head_of(teacher) == "vectors"
    parts = []
    teacher.eval()
    with torch.inference_mode(), Bar("vectors of tokens", size) as bar:
        for start in range(0, size, _BATCH):
            ids = torch.tensor(
                [[*before, one, *after] for one in range(start, min(start + _BATCH, size))],
                device=teacher.device,
            )  # (B, 3)
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if gives_vectors:
                found = logits_of(teacher, inputs)  # (B, H)
            else:
                found = teacher.base_model(**inputs).last_hidden_state.mean(dim=1)
            parts.append(found.float().cpu().numpy().astype(np.float64))
            bar.advance(len(ids))
    return np.concatenate(parts)


def frequency_weights(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    r"""SIF weights: :math:`a / (a + p)` with a token's share p of all tokens of some texts.

    Args:
        counts: how often each token occurs, (V,).
    """
    shares = counts / max(1, counts.sum())
    return np.asarray(SMOOTHING / (SMOOTHING + shares))


def zipf_counts(size: int, special: list[int]) -> npt.NDArray[np.int64]:
    """Counts by Zipf's law, for vocabularies that have the frequent tokens first.

    Args:
        size: V.
        special: tokens that do not count.
    """
    plain = np.setdiff1d(np.arange(size), special)
    counts = np.zeros(size, dtype=np.int64)
    counts[plain] = np.round(1e9 / (1 + np.arange(len(plain)))).astype(np.int64)
    return counts
