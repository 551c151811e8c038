"""How fast a CPU trains, for estimates of time.

Measured on 2 cores of a server CPU with AVX512-BF16, training small BERTs in bf16 on SST-2 (13
tokens a row, 17 with padding), with the work counted by :mod:`distill.recipe.estimate`:

- one thread: 12,000 rows of a 6x384 teacher's fine-tuning in 100 s, and a student of 3x312 in 57 s
  (3,000 rows, two epochs of the intermediate step and two of the prediction step): 67 GMACs/s;
- two threads: the recipe ``sst2`` in 21:38 minutes (teacher 5:45, baseline 5:00, intermediate
  6:00, prediction 3:07, recovery after pruning 1:29): 115 GMACs/s.
"""

from __future__ import annotations

from distill.processor import processor
from distill.recipe.estimate import cores
from distill.recipe.schema import TrainerConfig

#: Multiply-accumulates per second of one thread in bf16.
_ONE_THREAD = 67e9
#: Two threads do 1.7 times as much as one: they wait for each other after every layer.
_SCALING = 0.78
#: How much longer fp32 takes, and bf16 where it is emulated.
_FP32 = 2.6
_HARDWARE_BF16 = {"avx512_bf16", "amx_bf16"}


def macs_per_second(config: TrainerConfig, *, threads: int | None = None) -> float:
    """Multiply-accumulates per second that training reaches here.

    Args:
        config: the recipe's ``trainer`` part.
        threads: CPU threads; left out, the recipe's, and else all cores.
    """
    count = threads or config.threads or cores()
    fast = config.precision != "fp32" and not _HARDWARE_BF16.isdisjoint(processor().isa)
    return _ONE_THREAD * float(count**_SCALING) / (1 if fast else _FP32)
