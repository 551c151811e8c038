"""The base of metrics that look at all rows at once."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class Collected(Metric):
    """Keeps what batches bring, in any order and on any process, until the end.

    Attributes:
        kept: the names of what :meth:`update` takes, each a tensor with a value for every row.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    kept: ClassVar[tuple[str, ...]]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name in self.kept:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, *values: Tensor) -> None:
        for name, value in zip(self.kept, values, strict=True):
            getattr(self, name).append(value.detach())

    def whole(self) -> list[Tensor]:
        """All rows of each of :attr:`kept`."""
        return [dim_zero_cat(getattr(self, name)) for name in self.kept]
