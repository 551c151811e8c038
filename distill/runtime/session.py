"""ONNX Runtime, set up the one way that is used for serving and for measuring.

``SkipLayerNormFusion`` is switched off by default. Its kernel is slow on the CPU: on a 2-core AMD
EPYC (Zen 5, ONNX Runtime 1.31, 1 thread), models taking turns, medians, a 3-layer, 384-wide
classifier in int8 took 0.67 ms without and 0.83 ms with the fusion at batch 1, length 32 (17.3 and
20.4 ms at batch 32); in fp32 2.28 and 2.45 ms. The results are the same. Another machine may
differ: pass ``disabled_optimizers=()`` and measure.

ONNX Runtime keeps the memory of the largest batch it has seen: after one of 32 rows of 512 tokens
the same model held 703 MB instead of 78. The first small batch after a large one gives that back.
Without the arena the large batch took 25 % longer and left 110 MB or more; giving memory back after
every large batch takes about 10 % of a file of long texts.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.system.errors import ModelError, UserError
from distill.system.processor import physical_cores

#: Graph optimisers of ONNX Runtime that make BERT slower on a CPU.
SLOW_OPTIMIZERS = ("SkipLayerNormFusion",)

#: Tokens of a batch whose memory is given back when a batch of an eighth of them follows.
_MANY_TOKENS = 2048

Ids = npt.NDArray[np.integer[Any]]
Logits = npt.NDArray[np.float32]


class OnnxSession:
    """A classifier's ``.onnx`` file (or its bytes), ready to run on the CPU.

    Raises:
        UserError: ONNX Runtime is not installed.
        ModelError: the file is missing or cannot be read as a model.
    """

    def __init__(
        self,
        source: Path | bytes,
        threads: int | None = None,
        *,
        disabled_optimizers: Sequence[str] = SLOW_OPTIMIZERS,
    ) -> None:
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise UserError(
                "ONNX Runtime is needed to predict from a bundle: pip install onnxruntime"
            ) from error
        name = "the model" if isinstance(source, bytes) else str(source)
        if isinstance(source, Path) and not source.is_file():
            raise ModelError(f"{source}: no such file")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or physical_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        try:
            self._session = ort.InferenceSession(
                source if isinstance(source, bytes) else str(source),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(disabled_optimizers),
            )
        except Exception as error:  # onnxruntime has no common base for its load errors
            first = str(error).strip().splitlines()[0]
            raise ModelError(f"{name}: ONNX Runtime cannot load it ({first})") from error
        self._release = ort.RunOptions()
        self._release.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._held = 0
        self._inputs = [value.name for value in self._session.get_inputs()]

    def run(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids) -> Logits:
        """Logits (B, C).

        Args:
            input_ids: (B, L) token ids.
            attention_mask: (B, L), 1 at tokens and 0 at padding.
            token_type_ids: (B, L), 1 at the second sentence of a pair.
        """
        return self.run_outputs(["logits"], input_ids, attention_mask, token_type_ids)[0]

    def run_outputs(
        self, names: Sequence[str], input_ids: Ids, attention_mask: Ids, token_type_ids: Ids
    ) -> list[Logits]:
        """Compute named outputs; see :meth:`run`."""
        given = feed(self._inputs, input_ids, attention_mask, token_type_ids)
        tokens = int(np.size(input_ids))
        release = self._held >= _MANY_TOKENS and tokens * 8 <= self._held
        self._held = tokens if release else max(tokens, self._held)
        found: list[Logits] = self._session.run(
            list(names), given, self._release if release else None
        )
        if release:
            _give_back()
        return found


def feed(names: Sequence[str], *arrays: Ids) -> dict[str, npt.NDArray[np.int64]]:
    """What a graph reads, by name: ids, mask and types of tokens, (B, L) each, or some of these."""
    every = dict(zip(("input_ids", "attention_mask", "token_type_ids"), arrays, strict=True))
    return {name: np.ascontiguousarray(every[name], dtype=np.int64) for name in names}


def _give_back() -> None:
    """Return what the process has freed to the system, on Linux with glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
