"""``embeddings``: the table of word embeddings becomes a narrow one and a matrix behind it.

Reference: Lan et al. 2020, ALBERT, section 3.1 (factorised embeddings; there from the start).

Legend: V tokens, D width of the embeddings, R rank.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from distill.pruning.methods.base import Recovered
from distill.section import Issues, PositiveInt
from distill.system.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from distill.pruning.bench import Bench, Pruned
    from distill.recipe.schema import Recipe
    from distill.recipe.shapes import Before, Shape


class EmbeddingsPrune(Recovered):
    """Word embeddings of a lower rank: a table V x R and a Linear layer R -> D without bias."""

    method: Literal["embeddings"]
    """Word embeddings as the product of a narrow table and a matrix."""
    rank: PositiveInt
    """Width of the table that is left; less than that of the embeddings."""

    def shape_left(self, shape: Shape) -> Shape:
        return replace(shape, rank=self.rank)

    def issues(self, recipe: Recipe, before: Before) -> Issues:
        yield from super().issues(recipe, before)
        if before.student is not None and self.rank >= before.student.words:
            width = before.student.words
            yield ("rank",), f"the table of word embeddings is {width} wide then; write less"

    def describe(self) -> str:
        return f"word embeddings of rank {self.rank}"

    def _left(self, student: PreTrainedModel, ease: float) -> int:
        width = _width(student)
        return width - round((width - self.rank) * ease)

    def removes(self, student: PreTrainedModel, ease: float) -> bool:
        return self._left(student, ease) < self._left(student, 0.0)

    def prune(self, student: PreTrainedModel, bench: Bench, ease: float) -> Pruned:
        import torch

        from distill.pruning.bench import Pruned
        from distill.pruning.subwords import count_pieces

        texts = bench.texts("train")
        counts = count_pieces(bench.tokenizer, texts)
        rows = int(student.config.vocab_size)
        weights = torch.ones(rows)  # so that other tokens count too
        for index, count in counts.items():
            weights[index] += count
        weights[bench.tokenizer("")["input_ids"]] += len(texts)  # what every text has
        rank = self._left(student, ease)
        model, kept = factor_embeddings(student, rank, weights)
        tables: list[Any] = [one.get_input_embeddings() for one in (student, model)]
        width = int(tables[1].projection.out_features)
        before, after = (sum(part.numel() for part in one.parameters()) for one in tables)
        note = (
            f"word embeddings are {rows:,} x {rank} times {rank} x {width}: {after:,} numbers in "
            f"place of {before:,}; {kept:.1%} of their squares in the training texts stay"
        )
        facts = {"embeddings": {"rank": rank, "width": width, "kept": round(kept, 6)}}
        return Pruned(model, facts | {"notes": [note]})


def _width(model: PreTrainedModel) -> int:
    """Of the table of word embeddings, which may be factored already."""
    table: Any = model.get_input_embeddings()
    return int(table.embedding_dim)


def factor_embeddings(
    model: PreTrainedModel, rank: int, weights: Tensor
) -> tuple[PreTrainedModel, float]:
    r"""A copy of a model whose word embeddings W are a table A and a matrix B.

    A and B are those with the least :math:`\sum_v w_v |W_v - A_v B|^2`: the rows of B are the R
    first eigenvectors of :math:`\sum_v w_v W_v^T W_v`, and :math:`A = W B^T`. The weights w of the
    tokens are (V,), at least 0; the embeddings may be factored before.

    Returns:
        The model, and the share of :math:`\sum_v w_v |W_v|^2` that stays.

    Raises:
        ModelError: the table is not wider than the rank, or the model's class cannot be pruned.
    """
    import torch

    from distill.pruning.masks import layer_sizes
    from distill.pruning.surgery import config_of_sizes, rebuilt

    table: Any = model.get_input_embeddings()
    name = next(path for path, module in model.named_modules() if module is table)
    if not 1 <= rank < _width(model):
        raise ModelError(
            f"the table of word embeddings is {_width(model)} wide: its rank cannot become {rank}; "
            f"take 1 to {_width(model) - 1}"
        )
    with torch.no_grad():
        words = table(torch.arange(table.num_embeddings, device=model.device)[None])[0]  # (V, D)
        words = words.float().cpu()
        spread = (words.T @ (weights[:, None] * words)).double()  # (D, D)
        values, vectors = torch.linalg.eigh(spread)  # rising
        wide = vectors[:, -rank:].flip(1).float()  # (D, R)
        state = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
        state |= {f"{name}.weight": words @ wide, f"{name}.projection.weight": wide}
    heads, ffn = layer_sizes(model)
    config = config_of_sizes(model, heads=heads, ffn=ffn, rank=rank)
    return rebuilt(model, config, state), float(values[-rank:].sum() / values.sum())
