"""Many rows at once: batches of like length, handed to one or several threads.

Legend: N rows, B batch, L length, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.runtime.backends import ENGINES, Session, is_installed
from distill.runtime.manifest import Manifest
from distill.system.processor import usable_cores
from distill.text.encoding import Encoded, TextEncoder

#: Rows computed at once by default.
BATCH_SIZE = 32


@dataclass(frozen=True)
class Tuned:
    """What ``distill tune-runtime`` chose; empty where it was not asked."""

    # ``format``, ``threads`` and ``disabled_optimizers`` for single examples
    latency: Mapping[str, Any] = field(default_factory=dict)
    # the same and ``instances``, ``batch_size`` and ``padding_multiple`` for many
    throughput: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Tuned:
        """The choice that stands in a bundle, as far as it can be followed here.

        It cannot where its format is gone or its engine not installed, or where it would keep more
        cores busy than there are.
        """
        parts = [dict(manifest.runtime.get(part) or {}) for part in ("latency", "throughput")]
        return cls(*(part if _can_follow(part, manifest) else {} for part in parts))


def _can_follow(part: Mapping[str, Any], manifest: Manifest) -> bool:
    name = part.get("format")
    if name not in manifest.formats or name not in ENGINES or not is_installed(name):
        return False
    return int(part.get("threads", 1)) * int(part.get("instances", 1)) <= usable_cores()


def compute(
    session: Session,
    rows: Sequence[Encoded],
    encoder: TextEncoder,
    *,
    instances: int,
    batch_size: int,
    multiple: int = 1,
) -> list[npt.NDArray[np.float32]]:
    """The outputs of N > 0 rows, (C,) each or (L, C) without its padding, in their order.

    So many ``instances`` are batches that threads compute at the same time. Engines let go of
    Python's lock while they compute, so that single-thread calls run side by side and share the
    model's memory. Lengths are padded to a multiple of ``multiple``.
    """
    order = np.argsort([len(row) for row in rows], kind="stable")
    if instances > 1:  # no instance may be left without a batch
        batch_size = min(batch_size, -(-len(rows) // instances))
    parts = [order[start : start + batch_size] for start in range(0, len(rows), batch_size)]

    def one(part: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        batch = encoder.batch([rows[index] for index in part], multiple=multiple)  # (B, L)
        return session.run(*batch)

    if instances == 1 or len(parts) == 1:
        found = [one(part) for part in parts]
    else:
        # The longest first, so that no thread is left with them at the end.
        with ThreadPoolExecutor(instances) as pool:
            found = list(pool.map(one, reversed(parts)))[::-1]
    out: list[npt.NDArray[np.float32]] = [found[0]] * len(rows)
    for part, logits in zip(parts, found, strict=True):
        for index, own in zip(part, logits, strict=True):
            out[index] = own[: len(rows[index])] if logits.ndim == 3 else own
    return out
