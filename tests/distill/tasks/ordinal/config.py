from __future__ import annotations

from typing import Literal

from distill.tasks.config import NamedLabels


class OrdinalTask(NamedLabels):
    """One of several labels in an order, from the lowest to the highest."""

    kind: Literal["ordinal"]
    metric: Literal["closeness", "accuracy"] = "closeness"
    """``closeness`` is 1 where the label is right, and 0 where it is at the other end."""


CONFIG = OrdinalTask
