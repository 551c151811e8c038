"""The ``task`` section of queries with candidates that are put into an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, StrictInt

from distill.section import Issues
from distill.tasks.config import UnnamedOutputs, no_classes

if TYPE_CHECKING:
    from distill.recipe.schema import Recipe


class RankingTask(UnnamedOutputs):
    """The order of a query's candidates, by one logit for each pair of query and candidate."""

    columns: ClassVar[tuple[str, ...]] = ("query", "query_id", "candidates", "label", "relevant")
    has_candidates: ClassVar[bool] = True
    not_augmented: ClassVar[str] = (
        "makes examples for labels, and a query's candidates are one row; leave it out"
    )

    kind: Literal["ranking"]
    metric: Literal["ndcg@10", "mrr@10"] = "ndcg@10"
    """What is reported and what chooses the best checkpoint, a mean over the queries."""
    loss: Literal["softmax", "bce"] = "softmax"
    """How relevance is learned: ``softmax`` is the cross-entropy over a query's candidates with
    the shares of their relevance; ``bce`` the binary cross-entropy of each candidate by itself,
    relevant (above 0) or not."""
    train_candidates: Annotated[StrictInt, Field(ge=2)] = 32
    """Most candidates of a training query, which are in one batch: the most relevant, then the
    first others."""

    def issues(self, recipe: Recipe, hidden: int | None) -> Issues:
        data = recipe.data
        if data.source == "builtin" and data.columns.relevant is not None:
            yield ("data", "columns", "relevant"), "the built-in data have a label; leave it out"
        yield from super().issues(recipe, hidden)

    def unfit(self) -> Mapping[str, str]:
        return no_classes("ranking")


CONFIG = RankingTask
