"""Static students with numpy alone: a table of token vectors, their mean, and a head.

Legend: V tokens, B batch, L length, D width, T tokens of a batch, C outputs.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from distill.system.errors import ModelError

Ids = npt.NDArray[np.integer[Any]]
Logits = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]

_TYPES: dict[str, Any] = {"F32": np.float32, "I8": np.int8, "I64": np.int64}


def read_table(source: Path | bytes) -> Arrays:
    """The tensors of a safetensors file, by name.

    Raises:
        ModelError: the file is missing, or is no such file.
    """
    name = "the table" if isinstance(source, bytes) else str(source)
    try:
        raw = source if isinstance(source, bytes) else source.read_bytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:start])
        header.pop("__metadata__", None)
        return {
            key: np.frombuffer(
                raw,
                _TYPES[entry["dtype"]],
                count=math.prod(entry["shape"]),
                offset=start + entry["data_offsets"][0],
            ).reshape(entry["shape"])
            for key, entry in header.items()
        }
    except FileNotFoundError:
        raise ModelError(f"{name}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{name}: not a static student's table ({error})") from error


class TableSession:
    """A static student, ready to run.

    The file holds ``table`` (V, D), in int8 with a ``scale`` for each row (V,), ``special`` (the
    ids that do not count in the mean), and the head's ``weight.N`` and ``bias.N``, with a ReLU
    between two layers. Int8 is for the file: the table is fp32 in memory.

    Raises:
        ModelError: the file is missing, or holds something else.
    """

    def __init__(self, source: Path | bytes) -> None:
        tensors = read_table(source)
        try:
            self._table = np.ascontiguousarray(tensors["table"], dtype=np.float32)
            if "scale" in tensors:
                self._table = self._table * tensors["scale"][:, None]
            self._counts = np.ones(len(self._table), dtype=bool)  # (V,)
            self._counts[tensors["special"]] = False
            layers = sum(name.startswith("weight.") for name in tensors)
            # Products in fp64, rounded once: their order, which depends on B, is not seen.
            self._head = [
                (tensors[f"weight.{n}"].T.astype(np.float64), tensors[f"bias.{n}"])
                for n in range(layers)
            ]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ModelError(f"{source!s:.200}: not a static student's table ({error})") from error

    def run(self, input_ids: Ids, attention_mask: Ids, token_type_ids: Ids) -> Logits:
        """Logits (B, C), or vectors (B, D) where there is no head; see :meth:`OnnxSession.run`."""
        del token_type_ids
        counted = self._counts[input_ids]  # (B, L)
        counted &= attention_mask != 0
        lengths = counted.sum(axis=1)  # (B,)
        vectors = self._table[input_ids[counted]]  # (T, D)
        mean = np.zeros((len(lengths), self._table.shape[1]), dtype=np.float32)
        filled = lengths > 0  # the vector of a text without tokens is 0
        if filled.any():
            starts = (np.cumsum(lengths) - lengths)[filled]
            mean[filled] = np.add.reduceat(vectors, starts, axis=0)
            mean[filled] /= lengths[filled, None]
        out: npt.NDArray[np.floating[Any]] = mean
        for number, (weight, bias) in enumerate(self._head):
            out = (np.maximum(out, 0) if number else out) @ weight + bias
        return out.astype(np.float32)
