"""OpenVINO, set up for serving on the CPU.

Sums, norms and attention are computed in fp32 (``INFERENCE_PRECISION_HINT``): where the processor
has bf16, OpenVINO would take that by default, and scores would depend on the machine.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.errors import ModelError, UserError
from distill.processor import usable_cores

Ids = npt.NDArray[np.integer[Any]]
Logits = npt.NDArray[np.float32]


class OpenVinoSession:
    """A classifier's OpenVINO model (``.xml`` with its ``.bin``), ready to run on the CPU.

    Args:
        source: the ``.xml`` file; the ``.bin`` lies beside it.
        threads: threads of one call; ``None`` leaves it to OpenVINO (all physical cores).

    Raises:
        UserError: OpenVINO is not installed.
        ModelError: the file is missing or cannot be read as a model.
    """

    def __init__(self, source: Path, threads: int | None = None) -> None:
        try:
            import openvino
        except ImportError as error:
            raise UserError(
                "OpenVINO is needed to predict with this format: pip install openvino"
            ) from error
        if not source.is_file():
            raise ModelError(f"{source}: no such file")
        # A single-thread session may be called from several threads at once, each on its own
        # core; without streams of their own they would wait for each other.
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads is not None:
            streams = usable_cores() if threads == 1 else 1
            options |= {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads * streams}
        try:
            self._model = openvino.Core().compile_model(str(source), "CPU", options)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1]
            raise ModelError(f"{source}: OpenVINO cannot load it ({first})") from error
        self._inputs = [value.any_name for value in self._model.inputs]
        self._requests = threading.local()
        self.threads = threads

    def run(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids) -> Logits:
        """Compute logits (B, C); see :meth:`distill.runtime.session.OnnxSession.run`."""
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._model.create_infer_request()
        feed = {
            "input_ids": np.ascontiguousarray(input_ids, dtype=np.int64),
            "attention_mask": np.ascontiguousarray(attention_mask, dtype=np.int64),
            "token_type_ids": np.ascontiguousarray(token_type_ids, dtype=np.int64),
        }
        found = request.infer({name: feed[name] for name in self._inputs}, share_inputs=True)
        # A copy: the request reuses its output's memory.
        logits: Logits = np.array(found[0], dtype=np.float32)
        return logits
