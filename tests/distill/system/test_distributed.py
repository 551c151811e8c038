"""With one process the functions are plain means, and nothing is exchanged."""

from __future__ import annotations

import pytest
import torch

from distill.system import distributed


def test_alone_a_mean_is_a_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("an exchange with nobody")

    monkeypatch.setattr(torch.distributed, "all_reduce", never)
    values = torch.tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    assert not distributed.several()
    assert distributed.mean(values).item() == 3.0
    assert distributed.weighted_mean(values.sum(), torch.tensor(6)).item() == 2.0
    assert distributed.weighted_mean(values.sum() * 0, torch.tensor(0)).item() == 0.0
    count = torch.tensor(4)
    assert distributed.shared(count) is count


def test_shares_average_to_the_mean_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [torch.tensor([1.0, 2.0, 6.0]), torch.tensor([7.0])]

    def exchange(total: torch.Tensor) -> None:
        total.copy_(torch.tensor(4.0))  # the counts of both

    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", exchange)
    shares = [distributed.mean(part) for part in parts]
    assert sum(share.item() for share in shares) / 2 == 4.0  # not (3 + 7) / 2
