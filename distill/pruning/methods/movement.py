"""``movement``: scores learned while training; units that move away from zero stay."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal

from distill.pruning.methods.units import UnitPrune
from distill.section import PositiveInt

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench
    from distill.pruning.search import Scores
    from distill.pruning.units import Judged
    from distill.training.base import Batch, LossOf

_LR, _SCORES_LR = 5e-5, 1e-2
#: Share of the units of a layer that is masked at the end, and when masking begins and ends.
_MASKED, _BEGIN, _END = 0.5, 0.1, 0.8


class MovementPrune(UnitPrune):
    """Heads and neurons whose outputs a training moves towards zero."""

    method: Literal["movement"]
    """Scores learned while training, for when much is removed and there is time."""
    score_steps: PositiveInt | None = None
    """Batches of that training; left out, all of the training examples once."""
    ranks_only: ClassVar[bool] = True

    def judge(self, student: PreTrainedModel, bench: Bench) -> Judged:
        import torch

        from distill.pruning.units import Judged

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(bench.seed)
            scores, trained = movement_scores(
                student,
                loss_of=bench.loss_of,
                batches=bench.batches(self.batch_size),
                steps=self.score_steps or -(-bench.rows // self.batch_size),
                lr=self.recover.lr if self.recover else _LR,
            )
        return Judged(trained, scores)


def movement_scores(
    model: PreTrainedModel, *, loss_of: LossOf, batches: Iterable[Batch], steps: int, lr: float
) -> tuple[Scores, PreTrainedModel]:
    r"""Train a model and a score s of each head and neuron, by which ever more of them are masked.

    A unit's output is multiplied by its mask m, 1 for the best of its layer. The gradient goes
    straight through, :math:`\partial L / \partial s = \partial L / \partial m`, so that s falls
    where the loss would if the unit became smaller. The share that is masked rises to a half along
    a cubic. The given model is left as it is.

    Returns:
        The scores, through a sigmoid, and the trained model.

    Raises:
        DataError: there are no batches.
        ModelError: the scores are not numbers.

    Reference:
        Sanh et al. 2020, Movement Pruning; Lagunas et al. 2021, Block Pruning.
    """
    import torch

    from distill.data.batches import to_device
    from distill.pruning.mask_gradients import times_masks
    from distill.pruning.masks import layer_sizes
    from distill.pruning.search import Scores, checked, first_batches
    from distill.system.console import Bar

    chosen = first_batches(batches, steps)
    trained = copy.deepcopy(model).train()
    heads, ffn = (
        [torch.zeros(size, device=model.device, requires_grad=True) for size in sizes]
        for sizes in layer_sizes(model)
    )
    groups = [{"params": trained.parameters(), "lr": lr}]
    groups.append({"params": [*heads, *ffn], "lr": _SCORES_LR, "weight_decay": 0.0})
    optimizer = torch.optim.AdamW(groups)
    with Bar("scoring heads and neurons", len(chosen)) as bar:
        for done, batch in enumerate(chosen):
            share = _masked(done / len(chosen))
            masks = ([_mask(row, share) for row in part] for part in (heads, ffn))
            with times_masks(trained, *masks):
                loss = loss_of(trained, to_device(batch, model.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            bar.advance()
    scores = ([row.detach().cpu().sigmoid() for row in part] for part in (heads, ffn))
    return checked(Scores(*scores)), trained.eval()


def _masked(done: float) -> float:
    part = min(1.0, max(0.0, (done - _BEGIN) / (_END - _BEGIN)))
    return _MASKED * (1.0 - (1.0 - part) ** 3)


def _mask(scores: Tensor, share: float) -> Tensor:
    """1 for the best, 0 for the others, with the gradient of the scores: (1, H) or (1, F)."""
    from distill.pruning.masks import keep_best

    kept = keep_best(scores.detach(), share).to(scores)
    return (kept + scores - scores.detach())[None]
