from __future__ import annotations

from distill.training.base import step_seed


def test_seeds_differ_in_their_low_bits_for_neighbours() -> None:
    seeds = [
        step_seed(seed, step, rank) & 0xFFFFFFFF  # what torch's CPU generator takes
        for seed in range(10)
        for step in range(500)
        for rank in range(4)
    ]
    assert len(set(seeds)) > len(seeds) - 3  # a collision or two of 32 bits may be chance


def test_seeds_are_taken_by_torch_and_stay_what_they_are() -> None:
    assert 0 <= step_seed(2**31 - 1, 10**9, 1000) < 2**63
    # Checkpoints of earlier versions go on with the same dropout only while this holds.
    assert step_seed(5, 7, 0) == 6884695015576267625
