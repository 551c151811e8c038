"""Means of losses, added up on the device and fetched once for many steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from distill import ranks


class Meter:
    """Sums of named scalars.

    Adding one neither copies it to the host nor waits for it; :meth:`take` fetches all means in
    one transfer.
    """

    def __init__(self, sums: dict[str, Tensor] | None = None, count: int = 0) -> None:
        self.sums: dict[str, Tensor] = sums or {}
        self.count = count

    def add(self, values: dict[str, Tensor]) -> None:
        """Add a step's values: scalars without gradient."""
        for name, value in values.items():
            sum_before = self.sums.get(name)
            if sum_before is None:
                self.sums[name] = value.float().clone()
            else:
                self.sums[name] = sum_before.to(value.device) + value
        self.count += 1

    def share(self) -> None:
        """With several processes: replace the sums by their mean over them, the same on each."""
        if self.sums and ranks.several():
            means = ranks.shared(torch.stack([value.float() for value in self.sums.values()]))
            self.sums = dict(zip(self.sums, means.unbind(), strict=True))

    def take(self) -> dict[str, float]:
        """The means since the last call; empty if nothing was added."""
        if not self.count:
            return {}
        means = (torch.stack(list(self.sums.values())) / self.count).tolist()
        found = dict(zip(self.sums, means, strict=True))
        self.sums, self.count = {}, 0
        return found

    def as_plain(self) -> dict[str, Any]:
        """The sums for a checkpoint."""
        return {
            "sums": {name: value.cpu() for name, value in self.sums.items()},
            "count": self.count,
        }

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Meter:
        """The inverse of :meth:`as_plain`."""
        return cls({name: value.clone() for name, value in plain["sums"].items()}, plain["count"])
