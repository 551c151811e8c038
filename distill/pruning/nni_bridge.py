"""NNI's pruners, used for what they learn: scores of whole heads and single neurons.

NNI does the wrapping, gradient hooks, training patches and scores. Its masks are not used, because
they are chosen for each matrix alone, and query, key, value and output have to agree; its
``ModelSpeedup`` cannot trace these models, so surgery is ours.

NNI is imported only here, and only when scores are taken: it is archived, slow to import, prints to
standard output and wraps ``torch.compile`` once more (by importing ``pytorch_lightning``).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from distill.console import Bar
from distill.data.batches import to_device
from distill.errors import DataError, ModelError
from distill.export.quiet import quiet
from distill.modules.base import Batch, LossOf
from distill.pruning.masks import encoder_layers, head_dim, layer_sizes
from distill.pruning.search import Scores

_CLASSES = {"taylor": "TaylorPruner", "l1": "L1NormPruner", "movement": "MovementPruner"}


@dataclass(frozen=True)
class _Targets:
    attention: list[nn.Linear]
    ffn: list[nn.Linear]

    @classmethod
    def of(cls, model: PreTrainedModel) -> _Targets:
        attention, ffn = [], []
        for layer in encoder_layers(model):
            own = layer.attention.self
            attention += [own.query, own.key, own.value]
            ffn.append(layer.intermediate.dense)
        return cls(
            [linear for linear in attention if linear.out_features],
            [linear for linear in ffn if linear.out_features],
        )


def nni_scores(
    method: Literal["taylor", "l1"],
    model: PreTrainedModel,
    *,
    loss_of: LossOf | None = None,
    batches: Iterable[Batch] = (),
    steps: int = 0,
) -> Scores:
    """Scores of heads (summed over query, key and value) and neurons by one of NNI's pruners.

    Args:
        method: ``taylor`` (needs ``loss_of`` and batches) or ``l1``.
        model: a BERT, stock or pruned; left as it is.
        loss_of: ``loss_of(model, batch)``, a scalar, called in eval mode.
        batches: at least one batch; may be without end.
        steps: how many batches are used; fewer where there are fewer.

    Raises:
        DataError: there are no batches.
        ModelError: the model is not a BERT, or its scores are not numbers.
    """
    chosen = list(itertools.islice(batches, steps))
    if method == "taylor" and not chosen:
        raise DataError("no batches to score heads and neurons with")
    # A copy, because NNI replaces forwards and parameters and gives back new ones.
    scored = copy.deepcopy(model).eval()
    config = _config(scored)
    scored.requires_grad_(False)
    targets = _Targets.of(scored)
    for linear in itertools.chain(targets.attention, targets.ffn):
        linear.weight.requires_grad_(True)
    with quiet("nni"):
        metrics = _one_shot(method, scored, config, loss_of, chosen)
    return checked(_by_layer(model, metrics))


def checked(scores: Scores) -> Scores:
    """Scores, if they are numbers.

    Raises:
        ModelError: they are not.
    """
    if not all(bool(row.isfinite().all()) for row in (*scores.heads, *scores.ffn)):
        raise ModelError("scores of heads and neurons are not numbers; did training diverge?")
    return scores


def movement_scores(
    model: PreTrainedModel, *, loss_of: LossOf, batches: Iterable[Batch], steps: int, lr: float
) -> tuple[Scores, PreTrainedModel]:
    r"""Train with NNI's movement pruner: scores grow where weights move away from zero.

    A block's score is learned by Adam along the straight-through gradient
    :math:`-\sum_t \partial L / \partial w \cdot w` while blocks with low scores are masked, ever
    more of them (to half, along a cubic).

    Args:
        model: a BERT, stock or pruned; left as it is.
        loss_of: ``loss_of(model, batch)``, a scalar, called in training mode.
        batches: batches; may be without end.
        steps: optimiser steps, at least 3.
        lr: AdamW's learning rate of the weights.

    Returns:
        The scores, through a sigmoid, and the trained model.

    Raises:
        DataError: there are no batches.
        ModelError: the model is not a BERT, or its scores are not numbers.

    Reference:
        Sanh et al. 2020, Movement Pruning; Lagunas et al. 2021, Block Pruning.
    """
    chosen = list(itertools.islice(batches, steps))
    if not chosen:
        raise DataError("no batches to score heads and neurons with")
    trained = copy.deepcopy(model).train()
    with quiet("nni"):
        pruner_class, evaluator = _prepare("movement", trained, loss_of, chosen, lr=lr)
        count = len(chosen)
        pruner = pruner_class(
            trained,
            _config(trained),
            evaluator,
            warmup_step=count // 10,
            cooldown_begin_step=max(count // 10 + 1, round(0.8 * count)),
        )
        pruner.compress(count, None)
        metrics = {
            name: targets["weight"].detach().flatten().cpu().sigmoid()
            for name, targets in pruner._collect_data().items()
        }
        pruner.unwrap_model()
    fresh = copy.deepcopy(model)
    state = trained.state_dict()
    fresh.load_state_dict({name: state[name] for name in fresh.state_dict()})
    return checked(_by_layer(model, metrics)), fresh.eval()


def _config(model: PreTrainedModel) -> list[dict[str, Any]]:
    names = {module: name for name, module in model.named_modules()}
    targets = _Targets.of(model)
    rows, hidden = head_dim(model), int(model.config.hidden_size)
    # NNI needs a ratio; the masks it makes of it are not the ones that are cut by.
    common = {"target_names": ["weight"], "sparse_ratio": 0.5}
    parts = ((targets.attention, [rows, hidden]), (targets.ffn, [1, hidden]))
    return [
        {"op_names": [names[linear] for linear in linears], "granularity": block, **common}
        for linears, block in parts
        if linears
    ]


def _one_shot(
    method: str,
    model: PreTrainedModel,
    config: list[dict[str, Any]],
    loss_of: LossOf | None,
    batches: list[Batch],
) -> dict[str, torch.Tensor]:
    """Run a pruner once and return its scores by module name, each flattened."""
    base, evaluator = _prepare(method, model, loss_of, batches, lr=0.0)

    class Recording(base):  # type: ignore[misc, valid-type]
        def _generate_sparsity(self, metrics: Any) -> Any:
            self.recorded = metrics
            return super()._generate_sparsity(metrics)

    pruner: Any
    if method == "taylor":
        pruner = Recording(model, config, evaluator, training_steps=len(batches))
    else:
        pruner = Recording(model, config)
    pruner.compress()
    return {
        name: targets["weight"].detach().flatten().cpu()
        for name, targets in pruner.recorded.items()
    }


def _prepare(
    method: str, model: PreTrainedModel, loss_of: LossOf | None, batches: list[Batch], *, lr: float
) -> tuple[Any, Any]:
    """NNI's class for a method, and an evaluator that trains on the batches in their order."""
    nni, pruners, evaluator_class = _import_nni()

    def training_step(batch: Batch) -> torch.Tensor:
        if loss_of is None:
            raise ModelError(f"method '{method}' needs a loss")
        return loss_of(model, batch)

    def train(_: Any, optimizer: Any, step: Any, *__: Any, **___: Any) -> None:
        with Bar("scoring heads and neurons", len(batches)) as bar:
            for batch in batches:
                moved = to_device(batch, model.device)
                optimizer.zero_grad(set_to_none=True)
                step(moved).backward()
                optimizer.step()  # NNI counts these; at lr 0 nothing moves
                bar.advance()

    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = nni.trace(torch.optim.AdamW if lr else torch.optim.SGD)(trained, lr=lr)
    evaluator = evaluator_class(train, optimizer, training_step)
    return getattr(pruners, _CLASSES[method]), evaluator


def _import_nni() -> tuple[Any, Any, Any]:
    compile_before = torch.compile
    import nni
    from nni.compression import TorchEvaluator, pruning

    nni.silence_stdout()
    torch.compile = compile_before
    return nni, pruning, TorchEvaluator


def _by_layer(model: PreTrainedModel, metrics: dict[str, torch.Tensor]) -> Scores:
    names = {module: name for name, module in model.named_modules()}
    heads, ffn = [], []
    sizes = zip(encoder_layers(model), *layer_sizes(model), strict=True)
    for layer, head_count, neuron_count in sizes:
        own = layer.attention.self
        parts = [metrics.get(names[part]) for part in (own.query, own.key, own.value)]
        rows = [part for part in parts if part is not None]
        heads.append(torch.stack(rows).sum(0) if rows else torch.zeros(head_count))
        neurons = metrics.get(names[layer.intermediate.dense])
        ffn.append(torch.zeros(neuron_count) if neurons is None else neurons)
    return Scores(heads, ffn)
