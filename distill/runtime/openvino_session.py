"""OpenVINO, set up for serving on the CPU.

Sums, norms and attention are computed in fp32 (``INFERENCE_PRECISION_HINT``): where the processor
has bf16, OpenVINO would take that by default, and scores would depend on the machine.

The order in which OpenVINO sums depends on the length of a batch, and rounding to 8 bits turns the
last bit of such a sum into a whole step: padded to 128 tokens, logits of a 3-layer classifier moved
by 0.006 in int8. Rows of one length are therefore computed together, and without padding; what else
is in the batch then changes nothing.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np

from distill.runtime.session import Ids, Logits, feed
from distill.system.errors import ModelError, UserError
from distill.system.processor import physical_cores, usable_cores


class OpenVinoSession:
    """A classifier's OpenVINO model (``.xml``, ``.bin`` beside it), ready to run on the CPU.

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
        if threads is None:
            options["INFERENCE_NUM_THREADS"] = physical_cores()
        else:
            streams = usable_cores() if threads == 1 else 1
            options |= {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads * streams}
        try:
            self._model = openvino.Core().compile_model(str(source), "CPU", options)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1]
            raise ModelError(f"{source}: OpenVINO cannot load it ({first})") from error
        self._inputs = [value.any_name for value in self._model.inputs]
        self._requests = threading.local()

    def run(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids) -> Logits:
        """Compute logits; see :meth:`distill.runtime.session.OnnxSession.run`.

        Rows of one length are computed together and without padding. Gives (B, C), or (B, L, C)
        with zeros at padding.
        """
        mask = np.asarray(attention_mask) != 0  # (B, L)
        # One past the last token of each row, (B,).
        lengths = mask.shape[1] - np.argmax(mask[:, ::-1], axis=1)
        lengths = np.where(mask.any(axis=1), lengths, mask.shape[1])
        given = (input_ids, attention_mask, token_type_ids)
        if lengths.min() == mask.shape[1]:
            return self._run(*given)
        parts = [np.flatnonzero(lengths == length) for length in np.unique(lengths)]
        found = [self._run(*(array[rows, : lengths[rows[0]]] for array in given)) for rows in parts]
        # (B, C), or (B, L, C) of a head that looks at each token.
        shape = (*mask.shape[: found[0].ndim - 1], found[0].shape[-1])
        out = np.zeros(shape, dtype=np.float32)
        for rows, logits in zip(parts, found, strict=True):
            out[rows, : logits.shape[1]] = logits
        return out

    def _run(self, *given: Ids) -> Logits:
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._model.create_infer_request()
        found = request.infer(feed(self._inputs, *given), share_inputs=True)
        # A copy: the request reuses its output's memory.
        logits: Logits = np.array(found[0], dtype=np.float32)
        return logits
