"""Masked-language modelling of the student, beside what it learns from the teacher.

Legend: B batch, L length, N masked tokens of a batch, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.objectives.base import Compared, Objective, full
from distill.recipe.schema.objectives import MlmObjective
from distill.system import distributed
from distill.system.errors import ModelError

#: The label of tokens that are not to be told.
IGNORED = -100


def mlm_loss(predictions: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the masked tokens, mean over them, in fp32; 0 where there are none.

    Args:
        predictions: logits at the masked tokens, row by row, (N, V).
        labels: (B, L), the true token where one is masked and -100 elsewhere.

    Raises:
        ModelError: there are not N masked tokens.
    """
    told = labels[labels != IGNORED]  # (N,)
    if len(told) != len(predictions):
        raise ModelError(
            f"objective 'mlm': {len(predictions)} predictions for {len(told)} masked tokens"
        )
    total = F.cross_entropy(full(predictions), told, reduction="sum")
    return distributed.weighted_mean(total, torch.tensor(float(len(told)), device=total.device))


class MlmMatch(Objective[MlmObjective]):
    """Cross-entropy of the student's masked-language head on masked tokens; no teacher in it.

    The head runs at the masked tokens only.

    Reference:
        Devlin et al. 2019, BERT, task 1; DistilBERT (Sanh et al. 2019) adds it to distillation.
    """

    labels: ClassVar[str] = "mlm_labels"

    def __call__(self, batch: Compared) -> Tensor:
        if batch.labels is None or batch.student.mlm is None:
            raise ModelError("objective 'mlm': the batch has no mlm_labels; give masked text")
        return mlm_loss(batch.student.mlm, batch.labels)
