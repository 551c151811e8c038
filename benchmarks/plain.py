"""What a user would do by hand: torch's exporter and ONNX Runtime's dynamic int8, nothing set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class PlainSession:
    """A session of ONNX Runtime with nothing set but its threads.

    Args:
        path: an ONNX file.
        name: what tables call it.
        threads: as many as the others have.
    """

    format = "onnx"

    def __init__(self, path: Path, name: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.name = name

    def __call__(self, batch: Any) -> Any:
        """Logits (B, C) of a batch of token ids (B, L)."""
        names = [value.name for value in self.session.get_inputs()]
        feed = {name: np.asarray(batch[name], dtype=np.int64) for name in names}
        return self.session.run(None, feed)[0]


def plain_files(student: Any, place: Path) -> dict[str, Path]:
    """The plain export (``plain fp32``) and its plain quantisation (``plain int8``).

    torch's present exporter is tried first, then its older one; what fails is told and left out.
    """
    import torch
    from onnxruntime.quantization import quantize_dynamic

    from distill.system.messages import quiet

    paths = {"plain fp32": place / "plain.onnx", "plain int8": place / "plain.int8.onnx"}
    names = ["input_ids", "attention_mask", "token_type_ids"]
    ids = torch.randint(5, 100, (2, 12))
    example = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    axes = {name: {0: "batch", 1: "length"} for name in names}
    for dynamo in (True, False):
        extra = (
            {"dynamic_shapes": axes}
            if dynamo
            else {"dynamic_axes": axes | {"logits": {0: "batch"}}}
        )
        try:
            with quiet("torch.onnx", "onnxscript", ""):
                torch.onnx.export(
                    student.eval(),
                    example,
                    str(paths["plain fp32"]),
                    input_names=names,
                    output_names=["logits"],
                    dynamo=dynamo,
                    external_data=False,
                    verbose=False,
                    **extra,
                )
                quantize_dynamic(str(paths["plain fp32"]), str(paths["plain int8"]))
            return paths
        except Exception as error:  # told: it is what a user would meet
            first = str(error).strip().splitlines()[0][:100]
            print(f"by hand with dynamo={dynamo}: {type(error).__name__}: {first}")
    return {}
