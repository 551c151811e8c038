"""Pre-training: masked language modelling and, on pairs, next sentence prediction.

Legend: B batch, L length, D hidden, M masked tokens of a batch, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection
from transformers import PreTrainedModel

from distill.recipe.schema import TrainConfig
from distill.system.errors import ModelError
from distill.training.base import Batch, TrainingModule
from students.anatomy import inputs_of
from students.heads import masked_head, relation_head

_IGNORED = -100
_MEASURES = ("mlm_loss", "masked_accuracy", "nsp_accuracy")


class PretrainModule(TrainingModule):
    r"""Trains an encoder to predict masked tokens and whether segment B continues A.

    Minimises :math:`-\frac{1}{M} \sum_m \log p(t_m)`, the mean over the batch's masked tokens,
    and on pairs the cross-entropy of the two answers, added to it. The vocabulary's scores are
    worked out at masked positions only.

    Batches have ``mlm_labels`` (B, L), -100 where nothing is asked, and on pairs ``nsp_labels``
    (B,): 0 where B is the continuation.

    Measured on held-out text: ``mlm_loss``, its ``perplexity``, ``masked_accuracy`` (share of
    masked tokens predicted right), and ``nsp_accuracy``. There is no score: the last weights are
    kept.

    Args:
        model: such as ``BertForMaskedLM`` or, for pairs, ``BertForPreTraining``.
        train: the optimiser's settings; left out, the defaults of a recipe.
        nsp: whether pairs are asked about.
        seed: seeds dropout.

    Raises:
        ModelError: the model lacks the heads.

    Reference:
        Devlin et al. 2019, BERT, section 3.1.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        train: TrainConfig | None = None,
        nsp: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(model, train=train or TrainConfig(), task=None, seed=seed)
        if masked_head(model) is None or (nsp and relation_head(model) is None):
            wanted = "BertForPreTraining" if nsp else "BertForMaskedLM, or another family's"
            raise ModelError(f"a {type(model).__name__} has no heads to pre-train; take {wanted}")
        self.nsp = nsp
        self.measures = MetricCollection(
            {name: MeanMetric() for name in _MEASURES}, compute_groups=False
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``loss``, and its parts ``mlm`` and on pairs ``nsp``."""
        tokens, labels, relation = self._answers(batch)
        # With nothing masked (a row of special tokens only) the mean would be no number.
        mlm = F.cross_entropy(tokens, labels, reduction="sum") / max(1, len(labels))
        if relation is None:
            return {"loss": mlm, "mlm": mlm}
        pairs = batch["nsp_labels"]
        nsp = F.cross_entropy(relation, pairs, ignore_index=_IGNORED, reduction="sum")
        nsp = nsp / (pairs != _IGNORED).sum().clamp(min=1)
        return {"loss": mlm + nsp, "mlm": mlm, "nsp": nsp}

    def observe(self, batch: Batch) -> None:
        """Take a batch of held-out text into the measures, each masked token counting once."""
        tokens, labels, relation = self._answers(batch)
        if len(labels):
            loss = F.cross_entropy(tokens, labels)
            self.measures["mlm_loss"].update(loss, len(labels))
            right = (tokens.argmax(dim=-1) == labels).float()  # (M,)
            self.measures["masked_accuracy"].update(right)
        if relation is not None:
            asked = batch["nsp_labels"] != _IGNORED  # (B,)
            if bool(asked.any()):
                right = relation.argmax(dim=-1) == batch["nsp_labels"]  # (B,)
                self.measures["nsp_accuracy"].update(right[asked].float())

    def scores(self) -> dict[str, float]:
        scores = {
            name: float(self.measures[name].compute())
            for name in _MEASURES
            if self.measures[name].update_called
        }
        if "mlm_loss" in scores:
            scores["perplexity"] = math.exp(min(scores["mlm_loss"], 50.0))
        self.reset_scores()
        return scores

    def reset_scores(self) -> None:
        super().reset_scores()
        self.measures.reset()

    def _answers(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        """Scores of masked positions (M, V), what stood there (M,), and of pairs (B, 2) or None."""
        encoder: Any = self.model.base_model
        predict: Any = masked_head(self.model)
        relate: Any = relation_head(self.model) if self.nsp else None
        output = encoder(**inputs_of(self.model, batch))
        asked = batch["mlm_labels"] != _IGNORED  # (B, L)
        tokens = predict(output.last_hidden_state[asked])  # (M, V)
        relation = relate(output.pooler_output).float() if self.nsp else None
        return tokens.float(), batch["mlm_labels"][asked], relation
