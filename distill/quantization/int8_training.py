r"""Training for int8: NNI simulates the 8-bit grid in the forward pass, gradients pass through it.

Every Linear layer computes with weights and inputs that were rounded to their grid; the rounding's
gradient is taken for 1. The scales either follow the ranges that are seen (``qat``: averages
of each tensor's smallest and largest value) or are parameters that are learned with the weights
(``lsq``), whose gradient is scaled by :math:`1 / \sqrt{n q_{max}}`.

NNI's scales go into the exported graph as they are, so what was trained is what runs.

NNI is imported only in this file, and only when it is used. What is learned it keeps in wrappers
that it hangs into the layers: the weight itself, its scale and that of the layer's input, and the
ranges that were seen. The layer's own weight is what the wrapper made of it in the last step.

Reference: Jacob et al. 2018, Quantization and Training of Neural Networks, section 3.
Esser et al. 2020, Learned Step Size Quantization, section 2.

Legend: N outputs of a layer.
"""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distill.quantization.graph import EVERY_TOKEN, Int8, Scales
from distill.section import TrainConfig
from distill.system.console import Bar
from distill.system.errors import DataError, ModelError, RunFolderError
from distill.system.messages import quiet
from distill.training.base import Batch, LossOf, step_seed
from distill.training.checkpoint import AtomicCheckpoint, read_checkpoint
from distill.training.interrupt import Interrupt
from distill.training.optimizer import make_optimizer, rate_factor

logger = logging.getLogger("distill")

#: What torch raises for a file that it did not write, or whose content is not what is looked for.
_UNREADABLE = (KeyError, RuntimeError, EOFError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True, eq=False)
class Trained:
    """A model that was trained for int8."""

    model: PreTrainedModel  # with fp32 weights, ready to be exported
    #: by layer name, as :class:`distill.quantization.graph.Int8` takes them
    scales: dict[str, Scales]
    #: NNI's own record, as it came: layer, target (``weight``, ``_input_0``), facts
    calibration: dict[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Lessons:
    """What a training for int8 learns from."""

    loss_of: LossOf  # ``loss_of(model, batch)``, a scalar
    #: the batches of one epoch, the same ones each time; called with its number from 0
    batches: Callable[[int], Iterable[Batch]]
    steps: int  # batches in an epoch
    seed: int = 0  # seeds dropout, each step by its number
    #: the file that a stopped training goes on from; ``None`` begins anew
    checkpoint: Path | None = None
    every: int = 100  # steps from one writing of it to the next


def train_int8(
    model: PreTrainedModel,
    lessons: Lessons,
    *,
    config: TrainConfig,
    algorithm: str = "qat",
    int8: Int8 = EVERY_TOKEN,
) -> Trained:
    """Train a copy of a model with int8 simulated in its Linear layers.

    The same arguments give the same weights on the same machine, stopped in between or not.
    ``algorithm`` is ``qat`` or ``lsq``; ``int8`` is the grid of the weights, without scales, which
    are what is learned.

    Raises:
        DataError: there are no batches.
        KeyboardInterrupt: Ctrl-C, or a scheduler's signal; the checkpoint was written first.
        ModelError: there is nothing to quantise, or training diverged.
        RunFolderError: the checkpoint is of another training, or cannot be read.
    """
    if lessons.steps < 1:
        raise DataError("no batches to train with")
    trained = copy.deepcopy(model).train()
    names = [
        name
        for name, module in trained.named_modules()
        if isinstance(module, nn.Linear) and module.weight.numel() and name not in int8.exclude
    ]
    if not names:
        raise ModelError("no Linear layer to quantise")
    if config.dropout is not None:
        for module in trained.modules():
            if isinstance(module, nn.Dropout):
                module.p = config.dropout
    plan = {
        "layers": names,
        "algorithm": algorithm,
        "per_channel": int8.per_channel,
        "weight_bits": int8.weight_bits,
        "epoch": lessons.steps,
        "steps": config.max_steps or config.epochs * lessons.steps,
        "seed": lessons.seed,
    }
    with quiet("nni"), torch.random.fork_rng(devices=[]):
        calibration = _compress(_Loop(trained, lessons, config=config, plan=plan))
    scales = {name: _scales(name, entry) for name, entry in calibration.items()}
    return Trained(trained.eval(), scales, calibration)


@dataclass(frozen=True, eq=False)
class _Loop:
    """The training itself, in the form in which NNI calls it."""

    model: PreTrainedModel
    lessons: Lessons
    config: TrainConfig
    plan: dict[str, Any]

    def step(self, batch: Batch) -> Tensor:
        return self.lessons.loss_of(self.model, batch)

    def __call__(self, _: Any, optimizer: Any, step: Any, *__: Any, **___: Any) -> None:
        before, total, lessons = self._restored(optimizer), self.plan["steps"], self.lessons
        factor = rate_factor(self.config, total)
        with Interrupt() as interrupt, Bar("training for int8", total, done=before) as bar:
            for done, batch in enumerate(self._rest(before), start=before + 1):
                torch.manual_seed(step_seed(lessons.seed, done - 1, 0))
                for group in optimizer.param_groups:
                    group["lr"] = self.config.lr * factor(done - 1)
                optimizer.zero_grad(set_to_none=True)
                loss: Tensor = step(batch)
                loss.backward()
                if self.config.gradient_clip_val:
                    nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip_val)
                optimizer.step()
                bar.advance(status=f"loss {float(loss):.4f}" if done % 10 == 0 else None)
                if interrupt.asked or done == total or done % lessons.every == 0:
                    self._keep(optimizer, done)
                interrupt.check()

    def _rest(self, done: int) -> Iterator[Batch]:
        first, skipped = divmod(done, self.lessons.steps)
        epochs = (self.lessons.batches(epoch) for epoch in itertools.count(first))
        left = itertools.islice(itertools.chain.from_iterable(epochs), skipped, None)
        return itertools.islice(left, self.plan["steps"] - done)

    def _keep(self, optimizer: Any, done: int) -> None:
        """Write everything that steps change, by its name in the wrapped model."""
        if self.lessons.checkpoint is None:
            return
        made = {
            f"{name}.{target}"
            for name, module in self.model.named_modules()
            if hasattr(module, "_nni_wrapper")
            for target in module._nni_wrapper.quantization_target_spaces
        }
        state = self.model.state_dict().items()
        content = {
            "plan": self.plan,
            "done": done,
            "learned": {name: value.detach() for name, value in state if name not in made},
            "optimizer": optimizer.state_dict(),
        }
        AtomicCheckpoint().save_checkpoint(content, self.lessons.checkpoint)

    def _restored(self, optimizer: Any) -> int:
        """Bring model and optimiser to where the training was stopped; the steps done."""
        path = self.lessons.checkpoint
        if path is None or not path.is_file():
            return 0
        try:
            found = read_checkpoint(path)
            if found["plan"] != self.plan:
                raise RunFolderError(
                    f"{path}: belongs to a training with other data, length or seed; "
                    "remove it to start over"
                )
            for name, value in found["learned"].items():
                owner, _, attribute = name.rpartition(".")
                module = self.model.get_submodule(owner)
                current = getattr(module, attribute)
                if current is None:  # a buffer that the first step fills
                    setattr(module, attribute, value.clone())
                else:  # learned scales get their shape in the first step too
                    current.data = torch.clone(value)
            optimizer.load_state_dict(found["optimizer"])
        except (*_UNREADABLE, UnpicklingError) as error:
            raise RunFolderError(
                f"{path}: not a checkpoint this version can go on from; remove it to start over"
            ) from error
        done, total = int(found["done"]), self.plan["steps"]
        logger.info("training for int8: goes on from step %d of %d", done, total)
        return done


def _settings(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """NNI's configuration: symmetric weights, inputs on the grid that the runtime has."""
    symmetric = plan["algorithm"] == "lsq"  # NNI learns symmetric scales only
    weight = {
        "quant_dtype": f"int{plan['weight_bits']}",
        "quant_scheme": "symmetric",
        "granularity": "out_channel" if plan["per_channel"] else "default",
    }
    incoming = {
        "quant_dtype": "int8" if symmetric else "uint8",
        "quant_scheme": "symmetric" if symmetric else "affine",
        "granularity": "default",
    }
    return [
        {"op_names": plan["layers"], "target_names": ["weight"], **weight},
        {"op_names": plan["layers"], "target_names": ["_input_"], **incoming},
    ]


def _compress(loop: _Loop) -> dict[str, Any]:
    nni, quantizers, evaluator_class = _import_nni()
    groups = make_optimizer(loop.model, loop.config).param_groups
    optimizer = nni.trace(torch.optim.AdamW)(groups, fused=True)
    evaluator = evaluator_class(loop, optimizer, loop.step)
    quantizer = quantizers[loop.plan["algorithm"]](loop.model, _settings(loop.plan), evaluator)
    if loop.lessons.checkpoint and loop.lessons.checkpoint.is_file():
        quantizer.is_init = True  # learned scales do not start again
    _, calibration = quantizer.compress(loop.plan["steps"], None)
    quantizer.unwrap_model()
    return dict(calibration)


def _import_nni() -> tuple[Any, dict[str, Any], Any]:
    compile_before = torch.compile
    import nni
    from nni.compression import TorchEvaluator
    from nni.compression.quantization import LsqQuantizer, QATQuantizer

    nni.silence_stdout()
    torch.compile = compile_before

    class Learned(LsqQuantizer):  # type: ignore[misc, valid-type]
        """NNI starts every scale at 0.01; the paper's start fits each tensor."""

        def init_scale(self, wrapper: Any, target_name: str, target: Tensor) -> None:
            if self.is_init or not self.check_target(wrapper, target_name):
                return
            space = wrapper.quantization_target_spaces[target_name]
            start = lambda values: (  # noqa: E731
                2 * values.detach().abs().mean(dim=-1) / space.qmax**0.5
            )
            if space._scaler:
                scale = space._scaler.shrink(target, start, keepdim=True)
            else:
                scale = start(target.reshape(-1)).view(1)
            space.scale.data = scale.clamp_min(torch.finfo(torch.float32).eps)
            space.zero_point = torch.zeros_like(space.scale.data)

    return nni, {"qat": QATQuantizer, "lsq": Learned}, TorchEvaluator


def _scales(name: str, entry: dict[str, dict[str, Any]]) -> Scales:
    """A layer's scales from NNI's record; signed inputs move to the unsigned grid they equal."""
    incoming, weight = entry["_input_0"], entry["weight"]
    scale = float(incoming["scale"].detach().abs().reshape(-1)[0])
    zero = round(float(incoming["zero_point"].detach().reshape(-1)[0]))
    if not incoming["quant_dtype"].startswith("uint"):
        zero += 128
    columns = weight["scale"].detach().abs().reshape(-1).numpy().astype(np.float32)  # (N,) or (1,)
    if not (np.isfinite(scale) and scale > 0 and np.isfinite(columns).all()):
        raise ModelError(f"{name}: scales are not numbers; did training for int8 diverge?")
    return Scales(scale, zero, np.maximum(columns, np.finfo(np.float32).eps))
