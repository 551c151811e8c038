"""``table``: the table of a static student in int8, with a scale for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from distill.quantization.methods.base import QuantizeStage
from distill.section import Issues

if TYPE_CHECKING:
    from pathlib import Path

    from distill.quantization.bench import Bench, Candidate
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before


class TableQuantize(QuantizeStage):
    """The table of a static student in int8, a scale for each row; its head stays in fp32."""

    method: Literal["table"]
    """The table of a static student."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        del before
        if recipe.student.has_layers:
            yield ("method",), "table is for student.kind: static; write static or leave it out"
        for key in ("exclude", "weight_bits", "calibration", "calibration_examples"):
            if self.differs(key):
                yield (key,), "a table has no products in int8; leave it out"

    def candidates(self, bench: Bench) -> list[Candidate]:
        return [
            bench.try_out(
                "table, a scale for each row",
                "numpy-int8",
                lambda path: quantize_table(bench.plain, path),
            )
        ]

    def step_back(self, bench: Bench) -> Candidate | None:
        return None


def quantize_table(source: Path, target: Path) -> None:
    r"""Write a table in int8: :math:`q = round(127 w / \max |w|)` in each row."""
    import numpy as np
    from safetensors.numpy import save

    from distill.runtime.table import read_table
    from distill.system.atomic import write_bytes

    tensors = read_table(source)
    table = tensors["table"]  # (V, D)
    scale = np.abs(table).max(axis=1) / np.float32(127)  # (V,)
    rounded = np.round(table / np.where(scale > 0, scale, 1)[:, None])
    int8 = {"table": rounded.astype(np.int8), "scale": scale.astype(np.float32)}
    write_bytes(target, save(tensors | int8))
