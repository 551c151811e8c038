"""``qat``: the student learns the teacher's logits with int8 simulated, then it is static."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import StrictBool

from distill.quantization.methods.base import QuantizeStage
from distill.section import Issues, TrainConfig

if TYPE_CHECKING:
    from distill.quantization.bench import Bench, Candidate
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before


class QatQuantize(QuantizeStage):
    """Quantisation-aware training by NNI, then int8 with the scales of the training."""

    method: Literal["qat"]
    """Trained for int8 (NNI), then static."""
    algorithm: Literal["qat", "lsq"] = "qat"
    """Scales follow what is seen (``qat``) or are learned as weights are (``lsq``)."""
    per_channel: StrictBool = True
    """One scale for each output channel of a weight; otherwise one for each tensor."""
    train: TrainConfig = TrainConfig(epochs=1, lr=2e-5)
    """Distillation of the logits with int8 simulated."""

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        for key in ("accumulate_grad_batches", "patience", "val_check_interval", "layer_decay"):
            if getattr(self.train, key) != TrainConfig.model_fields[key].default:
                yield ("train", key), "does nothing here: training for int8 is one short pass"

    def candidates(self, bench: Bench) -> list[Candidate]:
        from dataclasses import replace

        from distill.export.onnx import export_onnx
        from distill.quantization.graph import Int8
        from distill.quantization.int8_training import train_int8

        int8 = Int8(
            per_channel=self.per_channel, weight_bits=self.weight_bits, exclude=self.exclude
        )
        trained = train_int8(
            bench.run.student(),
            bench.run.lessons(self.train.batch_size),
            config=self.train,
            algorithm=self.algorithm,
            int8=int8,
        )
        # The fp32 files stay those of the student as it came.
        source = bench.folder / "trained.fp32.onnx"
        export_onnx(trained.model, source)
        int8 = replace(int8, scales=trained.scales)
        return bench.try_engines(f"trained ({self.algorithm})", int8, source)
