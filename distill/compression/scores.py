"""Which heads and neurons matter: NNI's Taylor pruner on any loss.

The importance of a block of weights S is the first-order estimate of how the loss changes without
it, summed over batches b:

    I(S) = mean over b of sum over w in S of (dL_b/dw * w)^2

A head's score is the sum over its rows of query, key and value, so that the three agree; a neuron's
is that of its row of the intermediate layer. NNI does the wrapping, gradient hooks and scores; its
own masks are not used, because they are chosen for each matrix alone.

NNI is imported only here, and only when scores are taken: it is archived, slow to import, prints to
standard output and wraps ``torch.compile`` once more (by importing ``pytorch_lightning``).

Reference: Molchanov et al. 2019, Importance Estimation for Neural Network Pruning, section 3.1.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from distill.compression.masks import Masks, encoder_layers, head_dim, keep_best, layer_sizes
from distill.console import Bar
from distill.errors import DataError, ModelError
from distill.export.quiet import quiet

Batch = dict[str, torch.Tensor]
LossOf = Callable[[nn.Module, Batch], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Scores:
    """Importance of every head and neuron; larger matters more.

    Args:
        heads: per layer (H,).
        ffn: per layer (F,).
    """

    heads: list[torch.Tensor]
    ffn: list[torch.Tensor]


def taylor_masks(
    model: PreTrainedModel,
    *,
    loss_of: LossOf,
    batches: Iterable[Batch],
    heads: float,
    ffn: float,
    steps: int,
) -> Masks:
    """Choose what to keep of every layer: the heads and neurons with the largest Taylor scores.

    Of n heads (or neurons) of a layer, ``round(n * (1 - share))`` are kept, at least one; a layer
    that has none stays without.

    Args:
        model: a BERT, stock or pruned; left as it is.
        loss_of: ``loss_of(model, batch)``, a scalar: what the pruned model should keep low, such as
            the distillation loss. Called in eval mode.
        batches: at least one batch; may be without end.
        heads: share of the heads removed in every layer.
        ffn: share of the feed-forward neurons removed in every layer.
        steps: how many batches are used; fewer where there are fewer.

    Raises:
        DataError: there are no batches.
        ModelError: the model is not a BERT, or its scores are not numbers.
    """
    scores = taylor_scores(model, loss_of=loss_of, batches=batches, steps=steps)
    return Masks(
        heads=[keep_best(row, heads) for row in scores.heads],
        ffn=[keep_best(row, ffn) for row in scores.ffn],
    )


def taylor_scores(
    model: PreTrainedModel, *, loss_of: LossOf, batches: Iterable[Batch], steps: int
) -> Scores:
    """Score every head and neuron; see :func:`taylor_masks` for the arguments.

    Raises:
        DataError: there are no batches.
        ModelError: the model is not a BERT, or its scores are not numbers.
    """
    chosen = list(itertools.islice(batches, steps))
    if not chosen:
        raise DataError("no batches to score heads and neurons with")
    # A copy, because NNI replaces forwards and parameters and gives back new ones.
    scored = copy.deepcopy(model).eval()
    names = {module: name for name, module in scored.named_modules()}
    targets = _targets(scored)
    scored.requires_grad_(False)
    for linear in itertools.chain(targets.attention, targets.ffn):
        linear.weight.requires_grad_(True)
    metrics = _nni_metrics(
        scored,
        config=_config(targets, names, head_dim(model), int(model.config.hidden_size)),
        loss_of=loss_of,
        batches=chosen,
    )
    found = _by_layer(model, metrics)
    if not all(bool(row.isfinite().all()) for row in (*found.heads, *found.ffn)):
        raise ModelError("scores of heads and neurons are not numbers; did training diverge?")
    return found


@dataclass(frozen=True)
class _Targets:
    attention: list[nn.Linear]
    ffn: list[nn.Linear]


def _targets(model: PreTrainedModel) -> _Targets:
    attention, ffn = [], []
    for layer in encoder_layers(model):
        own = layer.attention.self
        attention += [own.query, own.key, own.value]
        ffn.append(layer.intermediate.dense)
    return _Targets(
        [linear for linear in attention if linear.out_features],
        [linear for linear in ffn if linear.out_features],
    )


def _config(
    targets: _Targets, names: dict[nn.Module, str], rows: int, hidden: int
) -> list[dict[str, Any]]:
    # NNI needs a ratio; the masks it makes of it are not used.
    common = {"target_names": ["weight"], "sparse_ratio": 0.5}
    parts = ((targets.attention, [rows, hidden]), (targets.ffn, [1, hidden]))
    return [
        {"op_names": [names[linear] for linear in linears], "granularity": block, **common}
        for linears, block in parts
        if linears
    ]


def _nni_metrics(
    model: PreTrainedModel, *, config: list[dict[str, Any]], loss_of: LossOf, batches: list[Batch]
) -> dict[str, torch.Tensor]:
    """Run NNI's Taylor pruner and return its scores by module name, each flattened."""
    with quiet("nni"):
        nni, pruner_class, evaluator_class = _import_nni()

        class Recording(pruner_class):  # type: ignore[misc, valid-type]
            def _generate_sparsity(self, metrics: Any) -> Any:
                self.recorded = metrics
                return super()._generate_sparsity(metrics)

        def training_step(batch: Batch) -> torch.Tensor:
            return loss_of(model, batch)

        def train(_: Any, optimizer: Any, step: Any, *__: Any, **___: Any) -> None:
            with Bar("scoring heads and neurons", len(batches)) as bar:
                for batch in batches:
                    moved = {name: value.to(model.device) for name, value in batch.items()}
                    optimizer.zero_grad(set_to_none=True)
                    step(moved).backward()
                    optimizer.step()  # NNI counts these; at lr 0 nothing moves
                    bar.advance()

        trained = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = nni.trace(torch.optim.SGD)(trained, lr=0.0)
        evaluator = evaluator_class(train, optimizer, training_step)
        pruner = Recording(model, config, evaluator, training_steps=len(batches))
        pruner.compress()
    return {
        name: targets["weight"].detach().flatten().cpu()
        for name, targets in pruner.recorded.items()
    }


def _import_nni() -> tuple[Any, Any, Any]:
    compile_before = torch.compile
    import nni
    from nni.compression import TorchEvaluator
    from nni.compression.pruning import TaylorPruner

    nni.silence_stdout()
    torch.compile = compile_before
    return nni, TaylorPruner, TorchEvaluator


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
